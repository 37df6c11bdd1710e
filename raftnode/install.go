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

// stageFile makes a state generation of a snapshot's file and opens it: all that is in it is read and found sound before
// anything depends on it. Whatever is wrong with it is snap.ErrDamaged.
func (n *Node) stageFile(m snap.Meta) (*staged, error) {
	r, err := snap.Open(n.env.FS, snapDir, m.Index, m.Term)
	if err != nil {
		return nil, err
	}
	gen, err := backend.Stage(n.env.FS, stateDir, n.cfg.Backend, r.Content())
	if errors.Is(err, backend.ErrDamaged) {
		err = fmt.Errorf("%w: %w", snap.ErrDamaged, err)
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	machine, err := n.openMachine(gen.DB())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", snap.ErrDamaged, err), gen.Discard())
	}
	if index, term := machine.Applied(); index != m.Index || term != m.Term {
		return nil, errors.Join(fmt.Errorf("%w: it holds index %d, term %d instead of %d, %d", snap.ErrDamaged, index, term,
			m.Index, m.Term), gen.Discard())
	}
	return &staged{meta: m, gen: gen, machine: machine}, nil
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
// staged generation becomes the state (apply lane, behind all applies already queued and the flush under way), then raft
// hears of it.
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
			n.appends.ahead.begin(&w)
			n.waitForSpace(func() { n.install(w) })
			n.voteAhead()
			return
		}
		n.appends.blocked, n.appends.ahead = nil, ahead{}
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

// switchTo makes a staged generation the state, behind all applies that are queued and the flush that is under way, and then
// publishes it.
func (n *Node) switchTo(s *staged, publish func(opened)) {
	var state opened
	n.afterFlush(func() {
		n.applyLane.Do(func() (err error) {
			state, err = n.state.replace(s)
			return err
		}, func(err error) {
			n.installed(err, func() {
				n.flush.size, n.flush.inUse = state.file.size, state.file.inUse
				publish(state)
			})
		})
	})
}

// opened is what the loop needs to know of a state that was put in place.
type opened struct {
	view   *apply.View
	leases []lease.Lease
	file   stateFile
}

// replace makes a staged generation the state. It runs on the apply lane, while no flush is under way.
func (s *state) replace(st *staged) (opened, error) {
	if s.db != nil {
		// What is not flushed yet is older than the snapshot: it goes with the old generation.
		if err := s.db.Close(); err != nil && !errors.Is(err, backend.ErrDamaged) {
			return opened{}, fmt.Errorf("close state: %w", err)
		}
		s.db = nil
	}
	db, err := st.gen.Switch()
	if err != nil {
		return opened{}, fmt.Errorf("switch to the snapshot at index %d: %w", st.meta.Index, err)
	}
	s.db, s.machine = db, st.machine
	return opened{view: s.machine.View(), leases: s.machine.Leases(), file: s.measure(st.meta.Index)}, nil
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
	n.removeInstalled(s.meta)
	n.startAppend()
	n.schedule()
}

// removeInstalled deletes the file of a snapshot that the state has taken over.
func (n *Node) removeInstalled(m snap.Meta) {
	n.snapLane.Do(func() error { return snap.Remove(n.env.FS, snapDir, m.Index, m.Term) }, func(err error) {
		if err != nil {
			n.logger.Warn("installed snapshot not removed", "index", m.Index, "error", err)
		}
	})
}

// restored takes over the state that came with a snapshot.
func (n *Node) restored(index uint64, state opened) {
	invariant.Check(index > n.applied, "snapshot at index %d installed over applied index %d", index, n.applied)
	n.applied, n.view = index, state.view
	n.adoptLeases(state.leases)
	n.flush.durable, n.compaction.done = index, false
	n.stats.SnapshotsInstalled++
	n.stateBack()
}

// installRestored puts a fetched snapshot in place of a state that was lost. The log stays where it holds the
// snapshot's entry, for its tail may be acknowledged; otherwise the log is older or was never committed, and restarts.
func (n *Node) installRestored(from uint64) {
	switch {
	case n.repair != nil:
		n.installUnderRepair(from)
		return
	case n.raw != nil:
		n.installRebuilt(from)
		return
	}
	s := n.staged
	reset := wal.Snapshot{Index: s.meta.Index, Term: s.meta.Term, ConfState: s.meta.ConfState}
	keep := false
	if t, err := n.mem.Term(reset.Index); err == nil {
		keep = t == reset.Term
	}
	if !keep && reset.Index < n.mem.baseIndex {
		// Older than where the log begins: entries between are gone. Ask somebody who is further.
		n.discardStaged(func() { n.restoreFromNext(from) })
		return
	}
	var hard wal.HardState
	n.onWAL(func() error {
		if keep {
			return nil
		}
		// The log must not end in a later term than the one stored: a leader of that one, deposed and unaware of it, would
		// take this node for a follower that has its entries.
		w := appendWork{term: n.disk.hard.Term, vote: n.disk.hard.Vote}
		if reset.Term > w.term {
			w = appendWork{term: reset.Term}
		}
		err := n.disk.write(n.env.FS, w, &reset)
		hard = n.disk.hard
		return err
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
				n.mem.setHard(hard.Term, hard.Vote, reset.Index)
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
