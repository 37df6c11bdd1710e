package raftnode

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
)

// A write to the log that waits for space holds up everything behind it, and votes with it: a cluster that needs this node's
// vote would be without a leader for as long. The hard state has its place on the disk, so votes go ahead of the log:
//
//   - A vote needs its term and itself to be durable, and that this node loses nothing of what it acknowledged. The entries
//     that wait were not acknowledged, and raft has counted them in when it compared logs: without them the candidate is no
//     worse. A pre-vote promises nothing.
//   - All other answers stay where they are: an acknowledgement, and raft's own note that its entries are stable, speak of
//     all that was handed over before.
//   - What was saved ahead is newer than what the writes that waited want saved: theirs is skipped.
//
// No entries are taken meanwhile (receiveRaft): a leader sends them again, and what waits does not grow.
type ahead struct {
	work appendWork // the newest term and vote of what waits, and the votes to send once they are durable
	busy bool       // they are being saved
}

// takeVotes moves the votes for others out of answers that wait, and returns the rest.
func (a *ahead) takeVotes(responses []*raftpb.Message) (rest []*raftpb.Message) {
	for _, m := range responses {
		vote := m.GetType() == raftpb.MsgVoteResp || m.GetType() == raftpb.MsgPreVoteResp
		if vote && m.GetTo() != m.GetFrom() {
			a.work.responses = append(a.work.responses, m)
		} else {
			rest = append(rest, m)
		}
	}
	return rest
}

// begin takes the votes of the write that waits, and what must be saved for them: on a disk that finds no room in place either,
// the write may have waited before it saved that.
func (a *ahead) begin(w *appendWork) {
	if newer(w.term, w.vote, a.work.term, a.work.vote) {
		a.work.term, a.work.vote = w.term, w.vote
	}
	w.responses = a.takeVotes(w.responses)
}

// voteAhead saves and sends the votes behind a write that waits for space.
func (n *Node) voteAhead() {
	q := &n.appends
	a := &q.ahead
	if q.blocked == nil || a.busy || n.stall.jobs > 0 {
		return
	}
	for _, m := range q.msgs {
		if m.Term != nil {
			a.work.term, a.work.vote = m.GetTerm(), m.GetVote()
		}
		m.Responses = a.takeVotes(m.GetResponses())
	}
	if len(a.work.responses) == 0 {
		return
	}
	w := a.work
	w.responses = slices.Clone(w.responses)
	a.busy = true
	n.onWAL(func() error { return retrying(n.env.FS, func() error { return n.disk.saveHard(w) }) }, func(err error) {
		a.busy = false
		switch {
		case n.stopped || errors.Is(err, env.ErrNoSpace): // tried again with the write that waits
		case err != nil:
			n.fail(fmt.Errorf("save a vote ahead of the log: %w", err))
		default:
			a.work.responses = a.work.responses[len(w.responses):]
			n.promised(w.term, w.vote, 0)
			for _, m := range w.responses {
				n.route(m)
			}
			n.schedule()
		}
	})
}

// forgetSilentLeader lets a node vote against a leader that it has not heard for an election timeout, although no time
// passes for raft while its disk has no room (standsStill).
func (n *Node) forgetSilentLeader(now time.Duration) {
	if n.appends.blocked != nil && n.leader != 0 && !n.leads() && !n.hears(n.leader, now) {
		_ = n.raw.ForgetLeader() // the error says that proposals are dropped, and this is none
	}
}

// promised takes note of a term and a vote that are durable, unless newer ones are.
func (n *Node) promised(term, vote, commit uint64) {
	h := &n.mem.hard
	if !newer(term, vote, h.GetTerm(), h.GetVote()) {
		term, vote = h.GetTerm(), h.GetVote()
	}
	n.mem.setHard(term, vote, max(commit, h.GetCommit()))
	n.term = max(n.term, term)
}

// newer tells whether a term and a vote come after others. A vote is given once in a term.
func newer(term, vote, oldTerm, oldVote uint64) bool {
	return term > oldTerm || term == oldTerm && vote != oldVote && vote != 0
}
