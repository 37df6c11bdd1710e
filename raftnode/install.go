package raftnode

import (
	"errors"
	"fmt"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/invariant"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/lease"
	"github.com/quorumkv/quorumkv/storage/snap"
	"github.com/quorumkv/quorumkv/storage/wal"
)

const stateDir = datadir.State

func stageFile(fs env.FS, o backend.Options, m snap.Meta) (*backend.Staged, error) {
	r, err := snap.Open(fs, snapDir, m.Index, m.Term)
	if err != nil {
		return nil, err
	}
	gen, err := backend.Stage(fs, stateDir, o, r.Content())
	return gen, errors.Join(err, r.Close())
}

// holdsSnapshot tells whether the append queue, or the lane, has a snapshot to install.
func (q *appendQueue) holdsSnapshot() bool {
	if q.installing {
		return true
	}
	for _, m := range q.msgs {
		if m.GetSnapshot().GetMetadata().GetIndex() > 0 {
			return true
		}
	}
	return false
}

// install carries out the MsgStorageAppend with a snapshot: the log restarts after it (wal lane, durable), then the
// staged generation becomes the state (apply lane, behind all applies already queued), then raft hears of it.
//
// A crash before the log's reset leaves the old state and the old log. A crash after it leaves a log that starts at the
// snapshot and the old state: boot finds the snapshot's file and stages it again.
func (n *Node) install(w appendWork) {
	meta := w.snapshot.GetMetadata()
	s := n.staged
	invariant.Check(s != nil && s.meta.Index == meta.GetIndex() && s.meta.Term == meta.GetTerm(),
		"raft installs a snapshot at index %d that is not staged", meta.GetIndex())
	n.appends.busy, n.appends.installing = true, true
	if n.snaps.making {
		n.snaps.then = func() { n.install(w) }
		return
	}
	reset := wal.Snapshot{Index: meta.GetIndex(), Term: meta.GetTerm(), ConfState: meta.GetConfState()}
	n.onWAL(func() error {
		return n.disk.write(n.env.FS, w, &reset)
	}, func(err error) {
		if errors.Is(err, env.ErrNoSpace) {
			n.waitForSpace(func() { n.install(w) })
			return
		}
		n.appends.blocked = nil
		if err != nil {
			n.installed(fmt.Errorf("write-ahead log: %w", err), nil)
			return
		}
		n.switchTo(s, func(state opened) {
			n.mem.reset(reset.Index, reset.Term, reset.ConfState)
			n.restored(reset.Index, state)
			n.appended(w)
		})
	})
}

// switchTo makes a staged generation the state, behind all applies that are queued, and then publishes it.
func (n *Node) switchTo(s *staged, publish func(opened)) {
	var (
		state opened
		file  flushed
	)
	n.applyLane.Do(func() (err error) {
		if state, err = n.state.replace(s, n.openMachine); err == nil {
			file = n.state.measure()
		}
		return err
	}, func(err error) {
		n.installed(err, func() {
			n.flush.size, n.flush.inUse = file.size, file.inUse
			publish(state)
		})
	})
}

// opened is what the loop needs to know of a state that was put in place.
type opened struct {
	view   *apply.View
	leases []lease.Lease
}

// replace makes a staged generation the state. It runs on the apply lane.
func (s *state) replace(st *staged, open func(*backend.DB) (*apply.Machine, error)) (opened, error) {
	if s.db != nil {
		// What is not committed yet is older than the snapshot: it goes with the old generation.
		if err := s.db.Close(); err != nil {
			return opened{}, fmt.Errorf("close state: %w", err)
		}
		s.db = nil
	}
	db, err := st.gen.Switch()
	if err != nil {
		return opened{}, fmt.Errorf("switch to the snapshot at index %d: %w", st.meta.Index, err)
	}
	m, err := open(db)
	if err != nil {
		return opened{}, fmt.Errorf("open the snapshot at index %d: %w", st.meta.Index, err)
	}
	index, term := m.Applied()
	invariant.Check(index == st.meta.Index && term == st.meta.Term,
		"snapshot of index %d, term %d holds index %d, term %d", st.meta.Index, st.meta.Term, index, term)
	s.db, s.machine = db, m
	return opened{view: m.View(), leases: m.Leases()}, nil
}

func (n *Node) installed(err error, publish func()) {
	s := n.staged
	n.staged = nil
	n.appends.busy, n.appends.installing = false, false
	if n.stopped {
		return
	}
	if err != nil {
		n.fail(err)
		return
	}
	publish()
	n.logger.Info("snapshot installed", "index", s.meta.Index, "term", s.meta.Term)
	n.snapLane.Do(func() error { return snap.Remove(n.env.FS, snapDir, s.meta.Index, s.meta.Term) }, func(err error) {
		if err != nil {
			n.logger.Warn("installed snapshot not removed", "index", s.meta.Index, "error", err)
		}
	})
	n.startAppend()
	n.schedule()
}

// restored takes over the state that came with a snapshot.
func (n *Node) restored(index uint64, state opened) {
	invariant.Check(index > n.applied, "snapshot at index %d installed over applied index %d", index, n.applied)
	n.applied, n.view = index, state.view
	n.adoptLeases(state.leases)
	n.flush.durable, n.compaction.done = index, false
	n.publish()
	n.serveApplied()
}

// installRestored puts a fetched snapshot in place of a state that was lost. The log stays where it holds the
// snapshot's entry, for its tail may be acknowledged; otherwise the log is older or was never committed, and restarts.
func (n *Node) installRestored(from uint64) {
	s := n.staged
	reset := wal.Snapshot{Index: s.meta.Index, Term: s.meta.Term, ConfState: s.meta.ConfState}
	keep := false
	if t, err := n.mem.Term(reset.Index); err == nil {
		keep = t == reset.Term
	}
	if !keep && reset.Index < n.mem.baseIndex {
		// Older than where the log begins: entries between are gone. Ask somebody who is further.
		n.staged = nil
		n.snapLane.Do(func() error {
			return errors.Join(s.gen.Discard(), snap.Remove(n.env.FS, snapDir, s.meta.Index, s.meta.Term))
		}, func(err error) {
			if err != nil {
				n.logger.Warn("unused snapshot not removed", "index", s.meta.Index, "error", err)
			}
			if !n.stopped {
				n.restoreFromNext(from)
			}
		})
		return
	}
	n.onWAL(func() error {
		if keep {
			return nil
		}
		return n.disk.write(n.env.FS, appendWork{}, &reset)
	}, func(err error) {
		if errors.Is(err, env.ErrNoSpace) {
			n.waitForSpace(func() { n.installRestored(from) })
			return
		}
		n.appends.blocked = nil
		if err != nil {
			n.installed(fmt.Errorf("write-ahead log: %w", err), nil)
			return
		}
		n.switchTo(s, func(state opened) {
			if !keep {
				n.mem.reset(reset.Index, reset.Term, reset.ConfState)
			}
			n.mem.conf = reset.ConfState
			n.restored(reset.Index, state)
			n.startRaft()
		})
	})
}

// hardCommit is the commit index to tell raft at start: what the log hinted, but never below what is applied, which
// was committed by definition (raft panics otherwise), and never above what the log holds.
func hardCommit(hint, applied, last uint64) uint64 { return min(max(hint, applied), last) }
