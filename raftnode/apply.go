package raftnode

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/invariant"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
)

// startApply has committed entries applied, as soon as there is a state to apply them to and the file is not too far behind.
func (n *Node) startApply(m *raftpb.Message) {
	n.committed = append(n.committed, m)
	n.applyCommitted()
}

func (n *Node) applyCommitted() {
	for len(n.committed) > 0 && n.lost.reason == "" && !n.flush.holdsUpApplies() {
		m := n.committed[0]
		n.committed[0], n.committed = nil, n.committed[1:]
		n.apply(m)
	}
}

// apply queues committed entries for the apply lane.
func (n *Node) apply(m *raftpb.Message) {
	entries := m.GetEntries()
	last := entries[len(entries)-1].GetIndex()
	self := n.self
	var (
		out     apply.Outcome
		backlog apply.Backlog
		took    time.Duration
	)
	n.applyLane.Do(func() error {
		start := n.env.Clock.Now()
		fresh := n.state.unapplied(entries)
		if n.cfg.BeforeApply != nil {
			fresh = n.cfg.BeforeApply(fresh)
		}
		var err error
		if out, err = n.state.machine.Apply(fresh, self); err != nil {
			return fmt.Errorf("apply entries %d to %d: %w", entries[0].GetIndex(), last, err)
		}
		took = n.env.Clock.Now() - start
		backlog = n.state.machine.Backlog()
		return nil
	}, func(err error) {
		if n.stopped {
			return
		}
		if errors.Is(err, backend.ErrDamaged) && n.hasPeers() {
			n.lost.failed = append(n.lost.failed, m)
		}
		if err != nil {
			n.stateFailed(err)
			return
		}
		if n.cfg.Observe.Apply != nil {
			n.cfg.Observe.Apply(took, entries)
		}
		if last > n.applied { // not so if a snapshot came that has them all
			n.appliedTo(last, out, took)
		}
		n.fellBehind(backlog)
		for _, r := range m.GetResponses() {
			n.route(r)
		}
		n.schedule()
	})
}

// unapplied drops the entries that a state has already which came as a snapshot.
func (s *state) unapplied(entries []*raftpb.Entry) []*raftpb.Entry {
	applied, _ := s.machine.Applied()
	for len(entries) > 0 && entries[0].GetIndex() <= applied {
		entries = entries[1:]
	}
	return entries
}

// appliedTo takes the outcome of the entries up to index: clients are answered here and nowhere else.
func (n *Node) appliedTo(index uint64, out apply.Outcome, took time.Duration) {
	invariant.Check(index > n.applied, "applied index went from %d to %d", n.applied, index)
	n.applied, n.view = index, out.View
	n.compaction.done = false
	n.leasesApplied(out.Leases)
	n.expiriesApplied(out.Results, took)
	n.publish() // before anybody is answered: who sees an answer sees what it answers for in every view after it
	for _, r := range out.Results {
		if errors.Is(r.Err, apply.ErrDuplicate) {
			// Executed before, and its client is still here: the first time was inside a snapshot. What it did is not
			// known any more.
			r.Err = ErrTimeoutLeaderLost
		}
		n.pending.finish(r.ID.Counter, r.Response, r.Err)
	}
	n.serveApplied()
}
