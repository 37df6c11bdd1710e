package sim

import (
	"github.com/cespare/xxhash/v2"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/wal"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

type entryID struct{ index, term uint64 }

// entrySeen is what an entry was when it was first sent.
type entrySeen struct {
	prevTerm uint64
	data     uint64 // hash
}

// durabilitySample is how many acknowledgements and votes pass for each one whose sender's disk is looked at.
const durabilitySample = 64

// sent looks at a message before the network gets it.
func (c *checker) sent(n *node, m *peerpb.Message) {
	r := m.GetRaft()
	switch r.GetType() {
	case raftpb.MsgApp:
		c.logsMatch(n, r)
	case raftpb.MsgAppResp, raftpb.MsgVoteResp:
		if r.GetReject() {
			return
		}
		c.promised(n, r)
		// What a node says while a write to its log waits is worth a look each time: votes may, acknowledgements may not.
		stalled := n.stat.DiskStall > 0
		if stalled && r.GetType() == raftpb.MsgVoteResp {
			c.w.count.VotesAhead++
		}
		if c.replies++; (stalled || c.replies%durabilitySample == 0) && c.w.failure == "" && !n.lying {
			c.w.count.DurabilityChecks++
			c.backed(n, r)
		}
	}
}

// logsMatch holds every entry sent against the first one of its index and term: raft's Log Matching property.
func (c *checker) logsMatch(n *node, m *raftpb.Message) {
	prev := m.GetLogTerm()
	for _, e := range m.GetEntries() {
		id := entryID{e.GetIndex(), e.GetTerm()}
		now := entrySeen{prevTerm: prev, data: xxhash.Sum64(e.GetData())}
		if first, ok := c.entries[id]; ok && first != now {
			c.w.violation("node %d sends entry %d of term %d after term %d with hash %x; it was sent after term %d with hash %x",
				n.index+1, id.index, id.term, now.prevTerm, now.data, first.prevTerm, first.data)
		}
		c.entries[id] = now
		prev = e.GetTerm()
	}
}

// backed opens what is surely on the sender's disk and holds the message against it: no acknowledgement and no vote may
// leave before the sync that it depends on.
func (c *checker) backed(n *node, m *raftpb.Message) {
	if n.rottenLog != nil {
		return // what is not on disk any more was, and is still in memory
	}
	disk := n.fs.Durable()
	f, hard, err := wal.OpenHardState(disk)
	if err != nil {
		c.w.violation("node %d: hard state on disk while it sends %s: %v", n.index+1, m.GetType(), err)
		return
	}
	f.Close()
	if hard.Term < m.GetTerm() {
		c.w.violation("node %d sends %s of term %d, on its disk is term %d", n.index+1, m.GetType(), m.GetTerm(), hard.Term)
	}
	if m.GetType() == raftpb.MsgVoteResp {
		if hard.Term == m.GetTerm() && hard.Vote != m.GetTo() {
			c.w.violation("node %d sends its vote of term %d to %d, on its disk is %d", n.index+1, hard.Term, m.GetTo(), hard.Vote)
		}
		return
	}
	log, rec, err := wal.Open(disk, "wal", wal.Config{SegmentBytes: segmentBytes, Seed: n.raft.Incarnation()}, 0)
	if err != nil {
		c.w.violation("node %d: log on disk while it acknowledges index %d: %v", n.index+1, m.GetIndex(), err)
		return
	}
	log.Close()
	if last := rec.Base.Index + uint64(len(rec.Entries)); last < m.GetIndex() {
		c.w.violation("node %d acknowledges index %d, on its disk the log ends at %d", n.index+1, m.GetIndex(), last)
	}
}
