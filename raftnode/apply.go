package raftnode

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/invariant"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
)

// state is what the apply lane owns.
type state struct {
	db      *backend.DB
	machine *apply.Machine
	// pin is the copy being made, if any. It keeps the file open: whoever closes the file lets it finish first.
	pin *backend.Pin
	// retryAt is when a flush is tried again that found the disk full.
	retryAt time.Duration
}

func (s *state) close() error {
	if s.db == nil {
		return nil
	}
	// A clean stop leaves nothing to replay; a crash at any point, or a full disk, only means more replay, and a state that
	// is damaged will not be used again.
	var flushErr error
	if s.machine.Pending() {
		flushErr = s.machine.Flush()
	}
	for _, err := range []error{flushErr, s.db.Close()} {
		if err != nil && !errors.Is(err, env.ErrNoSpace) && !errors.Is(err, backend.ErrDamaged) {
			return err
		}
	}
	return nil
}

// abandon closes the file as it is.
func (s *state) abandon() {
	if s.pin != nil {
		s.pin.Close()
	}
	if s.db != nil {
		s.db.Close()
		s.db = nil
	}
}

// flushState follows how far the state file is behind memory.
type flushState struct {
	queued  bool          // a flush is on the lane
	durable uint64        // applied index in the file
	at      time.Duration // when the last flush finished
	size    int64         // of the file, in bytes
	inUse   int64         // of these, bytes that hold data
	noSpace bool          // the last flush found the disk full
}

// flushed is what one flush left behind.
type flushed struct {
	index       uint64
	size, inUse int64
	took        time.Duration
	noSpace     bool // nothing was committed; the other fields are zero
}

// startApply queues committed entries for the apply lane.
func (n *Node) startApply(m *raftpb.Message) {
	if n.lost.reason != "" {
		n.lost.held = append(n.lost.held, m)
		return
	}
	entries := m.GetEntries()
	last := entries[len(entries)-1].GetIndex()
	self := n.self
	var (
		out  apply.Outcome
		file flushed
		took time.Duration
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
		if n.state.machine.FlushDue() {
			file, err = n.state.flush(n.env)
		}
		return err
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
		if file != (flushed{}) {
			n.flushedTo(file)
		}
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

// flush commits everything applied so far to bbolt. A full disk is no error: the log has all of it, and a flush some time
// later will do.
func (s *state) flush(e env.Env) (flushed, error) {
	start := e.Clock.Now()
	if start < s.retryAt {
		return flushed{noSpace: true}, nil
	}
	index, _ := s.machine.Applied()
	err := retrying(e.FS, s.machine.Flush)
	if errors.Is(err, env.ErrNoSpace) {
		s.retryAt = start + spaceInterval
		return flushed{noSpace: true}, nil
	}
	if err != nil {
		return flushed{}, fmt.Errorf("commit state at index %d: %w", index, err)
	}
	f := s.measure()
	f.took = e.Clock.Now() - start
	return f, nil
}

// measure describes the file when nothing is pending.
func (s *state) measure() flushed {
	index, _ := s.machine.Applied()
	return flushed{index: index, size: s.db.Size(), inUse: s.db.InUse()}
}

// flushIdle sees to it that nothing stays uncommitted for long when little is written, and that a full disk is tried again
// even if nothing was applied since: what is left to commit may be a compaction, or gone with the state it was for.
func (n *Node) flushIdle(now time.Duration) {
	due := n.flush.durable < n.applied || n.flush.noSpace
	if n.raw == nil || n.lost.reason != "" || n.flush.queued || !due || now-n.flush.at < flushInterval {
		return
	}
	n.flushNow(func(bool) {})
}

// flushNow commits the state and then runs done, unless the node stopped meanwhile; durable is false if there was no space.
func (n *Node) flushNow(done func(durable bool)) {
	n.flush.queued = true
	var file flushed
	n.applyLane.Do(func() (err error) {
		file, err = n.state.flush(n.env)
		return err
	}, func(err error) {
		n.flush.queued = false
		if n.stopped {
			return
		}
		if err != nil {
			n.stateFailed(err)
			return
		}
		n.flushedTo(file)
		done(!file.noSpace)
	})
}

func (n *Node) flushedTo(f flushed) {
	if f.noSpace && !n.flush.noSpace {
		n.logger.Warn("disk is full: the state is not committed for now, the log has it")
		n.runLow()
	}
	n.flush.noSpace = f.noSpace
	if f.noSpace {
		return
	}
	n.flush.at = n.env.Clock.Now()
	n.flush.durable = max(n.flush.durable, f.index)
	n.flush.size, n.flush.inUse = f.size, f.inUse
	observe(n.cfg.Observe.BackendCommit, f.took)
	n.compactLog()
}
