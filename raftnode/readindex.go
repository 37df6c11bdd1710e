package raftnode

import (
	"encoding/binary"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// Read is a linearizable read waiting for a state that is new enough. Done runs exactly once, on the loop.
type Read struct {
	Done func(*apply.View, error)

	started  time.Duration
	deadline time.Duration
	finished bool
	queue    *readQueue
}

// readQueue carries reads through their two waits. One ReadIndex round is in flight at a time and serves every read
// that arrived before it started.
type readQueue struct {
	waiting   []*Read // for the next round
	asked     []*Read // for the round in flight
	context   []byte  // of the round in flight; nil when there is none
	askedAt   time.Duration
	confirmed []confirmedReads // for apply to reach an index, lowest index first
	counter   uint64
	open      int // reads in any of these
}

type confirmedReads struct {
	index uint64
	reads []*Read
}

// ReadIndex takes a linearizable read. It is refused at once, with ErrTooManyRequests, when the node already holds as
// many as it may.
func (n *Node) ReadIndex(r *Read) {
	if n.stopped {
		r.Done(nil, ErrStopped)
		return
	}
	if n.reads.open >= n.cfg.MaxReads {
		r.Done(nil, ErrTooManyRequests)
		return
	}
	r.queue = &n.reads
	n.reads.open++
	r.started = n.env.Clock.Now()
	r.deadline = r.started + n.cfg.RequestTimeout
	n.reads.waiting = append(n.reads.waiting, r)
	n.schedule()
}

// CancelRead forgets a read whose client has gone.
func (n *Node) CancelRead(r *Read) {
	if r.queue != nil {
		r.finish(nil, ErrTimeout)
	}
}

// askReadIndex starts a round when reads wait and none is in flight.
//
// Every attempt has a context of its own (member, epoch, counter), retries included, and only the newest counts: a late
// answer to an earlier attempt would confirm too old an index for reads that joined since (etcd #20418).
func (n *Node) askReadIndex() {
	q := &n.reads
	if q.context != nil || len(q.waiting) == 0 || n.leader == 0 || n.newLeader() {
		return
	}
	q.asked, q.waiting = append(q.asked, q.waiting...), nil
	q.counter++
	q.context = readContext(n.self, q.counter)
	q.askedAt = n.env.Clock.Now()
	n.raw.ReadIndex(q.context)
}

// answersReader answers a follower's read index at once, without a round of heartbeats, where that follower and this leader
// are a quorum by themselves, as any two of three voters are. It tells whether it did.
//
// A round proves that nobody was elected above this leader when the read came. So does the request: its sender followed this
// leader as it asked, thus had voted in no later term, and nor has this node until now. Whoever was elected above them before
// the read came would have needed the vote of one of the two. It does not matter how old the request is: its reads came
// before it.
func (n *Node) answersReader(m *raftpb.Message) bool {
	status := n.raw.BasicStatus() // of this moment: n.role and n.term are of the last turn, and newLeader is, too
	if !n.leads() || status.RaftState != raft.StateLeader || status.GetTerm() != n.term || n.newLeader() || n.stall.silent ||
		!n.quorumOf(func(id uint64) bool { return id == n.self.Member || id == m.GetFrom() }) {
		return false
	}
	n.sendNotice(m.GetFrom()) // its reader must not wait for it
	n.sendRaft(&raftpb.Message{
		Type:    raftpb.MsgReadIndexResp.Enum(),
		From:    new(n.self.Member),
		To:      new(m.GetFrom()),
		Term:    new(n.term),
		Index:   new(status.GetCommit()),
		Entries: m.GetEntries(),
	})
	return true
}

// newLeader tells whether this node leads but has not applied an entry of its own term yet. Its commit index may then be
// older than what the last leader acknowledged (thesis section 6.4). raft waits by itself, but not when it is alone in
// the cluster, where asynchronous appends leave a moment between election and commit.
func (n *Node) newLeader() bool { return n.role == raft.StateLeader && n.view.Term < n.term }

func readContext(self apply.RequestID, counter uint64) []byte {
	c := make([]byte, 24)
	binary.BigEndian.PutUint64(c, self.Member)
	binary.BigEndian.PutUint64(c[8:], self.Epoch)
	binary.BigEndian.PutUint64(c[16:], counter)
	return c
}

// readConfirmed takes raft's answer: a quorum confirmed the leader, and its commit index then was r.Index.
func (n *Node) readConfirmed(r raft.ReadState) {
	q := &n.reads
	if q.context == nil || string(r.RequestCtx) != string(q.context) {
		return
	}
	reads := q.asked
	q.asked, q.context = nil, nil
	if n.applied >= r.Index && n.lost.reason == "" {
		n.serve(reads)
	} else {
		q.confirmed = append(q.confirmed, confirmedReads{index: r.Index, reads: reads})
	}
	n.schedule() // the next round may start
}

// serveApplied answers the reads that waited for the index just applied.
func (n *Node) serveApplied() {
	q := &n.reads
	if n.lost.reason != "" {
		return
	}
	for len(q.confirmed) > 0 && q.confirmed[0].index <= n.applied {
		n.serve(q.confirmed[0].reads)
		q.confirmed = q.confirmed[1:]
	}
}

func (n *Node) serve(reads []*Read) {
	for _, r := range reads {
		r.finish(n.view, nil)
	}
}

// retryRead gives up a round that got no answer in time and starts another.
func (n *Node) retryRead(now time.Duration) {
	if n.reads.context != nil && now-n.reads.askedAt >= readRetry {
		n.stats.SlowReadIndexes++
		n.reads.restart()
	}
}

// restart abandons the round in flight; its reads wait for the next one.
func (q *readQueue) restart() {
	q.waiting = append(q.asked, q.waiting...)
	q.asked, q.context = nil, nil
}

func (q *readQueue) expire(now time.Duration, why func(started time.Duration) error) {
	expire := func(reads []*Read) []*Read {
		kept := reads[:0]
		for _, r := range reads {
			if r.deadline <= now {
				r.finish(nil, why(r.started))
			}
			if !r.finished {
				kept = append(kept, r)
			}
		}
		clear(reads[len(kept):])
		return kept
	}
	q.waiting, q.asked = expire(q.waiting), expire(q.asked)
	for i := range q.confirmed {
		q.confirmed[i].reads = expire(q.confirmed[i].reads)
	}
}

func (q *readQueue) failAll(err error) {
	for _, c := range q.confirmed {
		q.waiting = append(q.waiting, c.reads...)
	}
	for _, r := range append(q.waiting, q.asked...) {
		r.finish(nil, err)
	}
	*q = readQueue{counter: q.counter}
}

func (r *Read) finish(v *apply.View, err error) {
	if !r.finished {
		r.finished = true
		r.queue.open--
		r.Done(v, err)
	}
}
