package sim

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/wal"
)

// promise is what a node has said to others, over all its lives, and must never take back.
type promise struct {
	term uint64 // the newest in which it acknowledged or voted
	vote uint64 // whom it voted for in it, 0 nobody
	life int    // the one in which it first spoke in that term
}

// promised holds an acknowledgement or a vote against what the same node said before, whatever crashes and damage to one
// copy of its hard state lay in between.
func (c *checker) promised(n *node, m *raftpb.Message) {
	if n.mayBeRefused() {
		return // nobody need listen to it
	}
	p := &c.promises[n.index]
	// A vote may overtake an acknowledgement that waits for space (raftnode's voteAhead): the network might have done the same.
	if late := m.GetType() == raftpb.MsgAppResp && p.life == n.life; m.GetTerm() < p.term && late {
		return
	}
	if m.GetTerm() < p.term {
		c.w.violation("node %d sends %s of term %d, it has spoken in term %d before", n.index+1, m.GetType(), m.GetTerm(), p.term)
		return
	}
	if m.GetTerm() > p.term {
		*p = promise{term: m.GetTerm(), life: n.life}
	}
	if m.GetType() != raftpb.MsgVoteResp {
		return
	}
	if p.vote != 0 && p.vote != m.GetTo() {
		c.w.violation("node %d votes for %d in term %d, it has voted for %d", n.index+1, m.GetTo(), p.term, p.vote)
	}
	p.vote = m.GetTo()
}

// remembers holds what a node has on its disk once it is open again against what it said before.
func (c *checker) remembers(n *node) {
	if n.mayBeRefused() {
		return
	}
	f, hard, err := wal.OpenHardState(n.fs.Durable())
	if err != nil {
		c.w.violation("node %d: hard state on disk after a start: %v", n.index+1, err)
		return
	}
	f.Close()
	if p := c.promises[n.index]; hard.Term < p.term || hard.Term == p.term && p.vote != 0 && hard.Vote != p.vote {
		c.w.violation("node %d comes back in term %d with a vote for %d, it has spoken in term %d with a vote for %d", n.index+1,
			hard.Term, hard.Vote, p.term, p.vote)
	}
}
