package sim

import (
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// Memory lies, too: what a node applies is not quite what it has in its log. Every checksum is made after that, so that
// nothing fails one; only the history hash tells. The node must find out at the next comparison, and its state must be
// replaced. Until then it serves what is wrong: what clients read from it is not judged, and nothing else is let pass.
//
// A minority of the nodes at the most has diverged or is damaged at any time (see rot.go), or the majority would be wrong.
// For that reason, a node that gives its state away before it has found out loses it.

// twist is what a node's memory does and did.
type twist struct {
	armed bool   // the next suitable entry is changed
	index uint64 // of the entry that was, until the state is known to be sound again; 0: none
	// proven says that the hash was seen to differ from the others'; an entry that did nothing leaves no trace.
	proven bool
	found  bool // the node knows
	reborn bool // it has started since, perhaps from before the entry
}

func (t *twist) harms() bool { return t.armed || t.index > 0 }

// planTwist changes what nodes apply.
func (w *world) planTwist() {
	if w.opt.CheckEvery > 0 {
		w.every(8*time.Second, func() { w.nodes[w.rng.IntN(len(w.nodes))].arm() })
	}
}

func (n *node) arm() {
	if n.raft == nil || n.twist.harms() || n.mayBeRefused() || n.w.hurtWith(n) > (len(n.w.nodes)-1)/2 {
		return
	}
	n.w.trace.event(n.w.queue.now, n.index+1, "twist")
	n.twist = twist{armed: true}
}

// beforeApply changes the value of a put. Not of one that was applied before: the node may have vouched for that.
func (n *node) beforeApply(entries []*raftpb.Entry) []*raftpb.Entry {
	if n.committing() {
		n.w.count.AppliedBesideCommits += len(entries)
	}
	if !n.twist.armed {
		return entries
	}
	for i, e := range entries {
		if e.GetIndex() <= n.furthest {
			continue
		}
		if changed := otherValue(e); changed != nil {
			n.w.count.Twisted++
			n.w.trace.event(n.w.queue.now, n.index+1, "applies another value", e.GetIndex())
			n.twist = twist{index: e.GetIndex()}
			entries = slices.Clone(entries)
			entries[i] = changed
			break
		}
	}
	return entries
}

// otherValue is an entry that puts another value than e, nil if e does not end with a put of a value.
func otherValue(e *raftpb.Entry) *raftpb.Entry {
	commands, err := apply.DecodeBatch(e.GetData())
	if err != nil || len(commands) == 0 {
		return nil
	}
	r := &pb.InternalRaftRequest{}
	last := &commands[len(commands)-1]
	if last.IsCheck() || proto.Unmarshal(last.Request, r) != nil || len(r.GetPut().GetValue()) == 0 {
		return nil
	}
	r.Put.Value = append(r.Put.Value, '!')
	if last.Request, err = proto.Marshal(r); err != nil {
		panic(err)
	}
	changed := proto.CloneOf(e)
	changed.Data = apply.EncodeBatch(commands)
	return changed
}

// diverged tells whether a state of this node up to an index is expected to differ from the others'.
func (n *node) diverged(index uint64) bool { return n.twist.index > 0 && index >= n.twist.index }

// follow takes note of what a node that may have diverged says about itself.
func (t *twist) follow(n *node, old, s raftnode.Status, serves bool) {
	if s.DivergedAt > 0 && s.DivergedAt != old.DivergedAt {
		switch {
		case t.index == 0 || s.DivergedAt < t.index:
			n.w.violation("node %d was found to have diverged at index %d, and has not: %s", n.index+1, s.DivergedAt, s.Damage)
		case !t.found:
			t.found = true
			n.w.count.Diverged++
			n.w.trace.event(n.w.queue.now, n.index+1, "found to have diverged", s.DivergedAt)
		}
	}
	if s.DivergedAt > 0 && serves {
		n.w.violation("node %d serves a state that it knows has diverged", n.index+1)
	}
	switch {
	case t.index == 0:
	case s.SnapshotsInstalled > old.SnapshotsInstalled:
		t.over(n)
	case t.reborn && s.Applied > 0:
		t.reborn, t.proven = false, false // its state may have been made anew: compareTwisted looks again
		if s.Applied < t.index {
			t.over(n)
		}
	}
}

// over ends it: the state in use has not met the changed entry.
func (t *twist) over(n *node) {
	if t.found {
		n.w.count.Rebuilt++
	}
	*t = twist{}
}

// compareTwisted looks at nodes that may have diverged, once it is known which hash is right.
func (c *checker) compareTwisted() {
	for _, n := range c.w.nodes {
		t := &n.twist
		if t.index == 0 || t.reborn || t.proven || n.raft == nil || n.stat.Applied < t.index {
			continue
		}
		switch right, ok := c.hashes[n.stat.Applied]; {
		case !ok:
		case right != n.stat.HistoryHash:
			t.proven = true
		default: // the entry did nothing, or the state was made anew
			t.over(n)
		}
	}
}

// tellsOn looks at what is sent about states. It returns false for a message that is not to arrive.
func (c *checker) tellsOn(n *node, m *peerpb.Message) bool {
	if f := m.GetSnapshotFetch(); f != nil && f.GetTerm() == 0 && n.stat.DivergedAt > 0 {
		if t := &c.w.nodes[c.w.indexOf(m.GetTo())].twist; t.proven && t.index <= n.stat.DivergedAt {
			c.w.violation("node %d, found to have diverged at index %d, asks node %d for its state, which differed by then",
				n.index+1, n.stat.DivergedAt, m.GetTo())
		}
	}
	if s := m.GetSnapshotChunk(); s != nil && n.diverged(s.GetIndex()) {
		if n.stat.DivergedAt > 0 {
			c.w.violation("node %d gives away a state that it knows has diverged", n.index+1)
		}
		life := n.life
		c.w.queue.after(0, func() {
			if n.life == life {
				n.loseState()
			}
		})
		return false
	}
	return true
}

// loseState ends the process, and its state with it, also the copy that was made to be given away: with a log that begins
// where the copy ends, the next start would make the state of it.
func (n *node) loseState() {
	n.w.count.Withdrawn++
	n.crash(false)
	if db := n.stateFile(); db != "" && n.sizeOf(db) > 0 {
		n.remove(db)
	}
	for _, copied := range n.fs.PeekDir("snap") {
		n.remove("snap/" + copied)
	}
}

// twistTrial lets the leader, or a follower, diverge: it must be found and rebuilt in time, while the others take writes.
func (w *world) twistTrial(leader bool) {
	w.within(fullLimit, func() bool { return w.leaderNode() != nil }, "no leader that all follow")
	if w.failure != "" {
		return
	}
	n := w.leaderNode()
	if !leader {
		n = w.nodes[(n.index+1+w.rng.IntN(len(w.nodes)-1))%len(w.nodes)]
	}
	if w.hurtWith(n) > (len(w.nodes)-1)/2 {
		return // a state file is damaged that nobody has read since
	}
	w.trace.event(w.queue.now, n.index+1, "trial: twist")
	found, rebuilt := w.count.Diverged, w.count.Rebuilt
	write := w.writes(1<<30, nil)
	w.within(fullLimit, func() bool {
		n.arm()
		write()
		return n.twist.proven
	}, "a node should have applied something else than the others")
	w.within(w.opt.CheckEvery+fullLimit, func() bool { return w.count.Diverged > found },
		"a node has diverged, and was not found")
	w.within(stallLimit, w.writes(trialWrites, n), "a node has diverged, and writes through the others were not accepted")
	w.within(w.opt.CheckEvery+fullLimit, func() bool { return w.count.Rebuilt > rebuilt && n.stat.Ready && w.settled() },
		"a node that had diverged was not rebuilt")
}
