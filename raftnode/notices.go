package raftnode

import (
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// noticeDelay is how long a follower may be left without the news of a commit index. It covers the time in which a client on the
// same machine or network sends its next write.
const noticeDelay = 500 * time.Microsecond

// notices are messages of the leader that tell of a commit index and nothing else. They and their answers are half of all
// messages when clients write one after the other, although the next entries, which carry the index too, come right behind.
// So a notice waits for them, but not for long, and not when a client of the follower waits for what it tells.
//
// raft takes it for a message that is slow on its way. It repeats none by itself, so the newest of each follower leaves in the end.
type notices struct {
	held map[uint64]*raftpb.Message // by follower
	// awaited is, by follower, the newest entry with a command that it forwarded and may have heard nothing of.
	awaited map[uint64]uint64
	fresh   []uint64 // followers with a command in the entries that raft hands over next
	stop    func()   // of the timer; nil if there is none
}

// proposed takes note whose commands are in an entry.
func (q *notices) proposed(batch []apply.Command, self uint64) {
	for i := range batch {
		from := batch[i].ID.Member
		if from != self && !slices.Contains(q.fresh, from) {
			q.fresh = append(q.fresh, from)
		}
	}
}

// appended takes note that the entries of which proposed was told end at last.
func (q *notices) appended(last uint64) {
	for _, follower := range q.fresh {
		if q.awaited == nil {
			q.awaited = map[uint64]uint64{}
		}
		q.awaited[follower] = last
	}
	q.fresh = q.fresh[:0]
}

func (q *notices) clear() {
	clear(q.held)
	clear(q.awaited)
	q.fresh = nil
	q.disarm()
}

func (q *notices) disarm() {
	if q.stop != nil {
		q.stop()
		q.stop = nil
	}
}

// holdsBack tells whether a MsgApp is a notice that can wait, and sees to it that it leaves. Any other takes the place of one
// that waited.
func (n *Node) holdsBack(m *raftpb.Message) bool {
	q := &n.notices
	to := m.GetTo()
	awaited, waits := q.awaited[to]
	asked := waits && awaited <= m.GetCommit()
	if asked {
		delete(q.awaited, to)
	}
	// The first commit of a term tells a follower that the leader knows everything: much waits for that.
	if asked || len(m.GetEntries()) > 0 || n.newLeader() {
		q.drop(to)
		return false
	}
	if q.held == nil {
		q.held = map[uint64]*raftpb.Message{}
	}
	q.held[to] = m
	if q.stop == nil {
		q.stop = n.env.Clock.After(noticeDelay, n.sendNotices)
	}
	return true
}

// drop forgets what a follower was to be told.
func (q *notices) drop(to uint64) {
	if delete(q.held, to); len(q.held) == 0 {
		q.disarm()
	}
}

// sendNotice sends what is held for a follower, before its time.
func (n *Node) sendNotice(to uint64) {
	if m := n.notices.held[to]; m != nil {
		n.notices.drop(to)
		n.sendRaft(m)
	}
}

func (n *Node) sendNotices() {
	q := &n.notices
	q.stop = nil
	for _, to := range slices.Sorted(maps.Keys(q.held)) {
		n.sendRaft(q.held[to])
	}
	clear(q.held)
}
