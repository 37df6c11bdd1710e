package raftnode

import (
	"errors"
	"time"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
)

// A flush brings what was applied into the state file. It takes as long as bbolt does, and no client is to wait for that. So
// it is three jobs, and only the one in the middle touches the disk:
//
//	lane apply   seal     what the file lacks is put together, as of one index
//	lane flush   commit   one transaction, synced, while lane apply goes on
//	lane apply   finish   memory lets go of it
//
// At most one is under way. Whoever closes the file, puts another in its place, or must see it stand still, comes after the
// flush (afterFlush).

// flushState follows how far the state file is behind memory.
type flushState struct {
	underWay bool     // from when its first job is queued to the end of its last
	then     []func() // what waits for that end, oldest first
	// farBehind says that more is fresh, taken by no flush yet, than may pend.
	farBehind bool

	durable uint64        // applied index in the file
	at      time.Duration // when the last flush finished
	size    int64         // of the file, in bytes
	inUse   int64         // of these, bytes that hold data
	noSpace bool          // the last flush found the disk full
}

// flush is one of them.
type flush struct {
	sealed *apply.Flush
	// committed runs on lane apply while the file holds exactly what was sealed; may be nil.
	committed func(*apply.Flush) error
	// done runs on the loop, at the end, whether or not the node was stopped by then.
	done    func(error)
	file    stateFile
	took    time.Duration // the commit
	backlog apply.Backlog // at the end
}

// stateFile is what the loop wants to know of the file after a flush, or of another one.
type stateFile struct {
	index       uint64
	size, inUse int64
}

// holdsUpApplies tells whether applying waits for the end of a flush: memory is bounded, and the disk is slower than clients.
func (f *flushState) holdsUpApplies() bool { return f.underWay && f.farBehind }

// afterFlush runs f when no flush is under way. What f queues on lane apply is then done before the next one.
func (n *Node) afterFlush(f func()) {
	if n.flush.underWay {
		n.flush.then = append(n.flush.then, f)
		return
	}
	f()
}

// startFlush flushes, once the flush under way has ended. Its error is env.ErrNoSpace if nothing was committed for want of
// space; any other is the end of the state or of the node.
func (n *Node) startFlush(committed func(*apply.Flush) error, done func(error)) {
	n.afterFlush(func() {
		n.flush.underWay = true
		n.seal(&flush{committed: committed, done: done})
	})
}

func (n *Node) seal(f *flush) {
	n.applyLane.Do(func() (err error) {
		if n.env.Clock.Now() < n.state.retryAt {
			return env.ErrNoSpace
		}
		f.sealed, err = n.state.machine.Seal()
		return err
	}, func(err error) {
		if err != nil {
			n.endFlush(f, err)
			return
		}
		n.flush.farBehind = false
		n.applyCommitted()
		n.commit(f)
	})
}

func (n *Node) commit(f *flush) {
	n.flushLane.Do(func() error {
		start := n.env.Clock.Now()
		err := retrying(n.env.FS, f.sealed.Commit)
		f.took = n.env.Clock.Now() - start
		return err
	}, func(err error) { n.finish(f, err) })
}

func (n *Node) finish(f *flush, committed error) {
	n.applyLane.Do(func() error {
		s := &n.state
		err := s.machine.Flushed(f.sealed, committed)
		if errors.Is(err, env.ErrNoSpace) {
			s.retryAt = n.env.Clock.Now() + spaceInterval
		}
		if err != nil {
			return err
		}
		f.file = s.measure(f.sealed.Index)
		f.backlog = s.machine.Backlog()
		if f.committed == nil {
			return nil
		}
		return f.committed(f.sealed)
	}, func(err error) { n.endFlush(f, err) })
}

func (n *Node) endFlush(f *flush, err error) {
	n.flush.underWay = false
	if !n.stopped {
		n.flushEnded(f, err)
	}
	f.done(err)
	for len(n.flush.then) > 0 && !n.flush.underWay {
		next := n.flush.then[0]
		n.flush.then = n.flush.then[1:]
		next()
	}
	if !n.stopped {
		n.fellBehind(f.backlog)
		n.applyCommitted()
	}
}

func (n *Node) flushEnded(f *flush, err error) {
	full := errors.Is(err, env.ErrNoSpace)
	if full && !n.flush.noSpace {
		n.logger.Warn("disk is full: the state is committed once there is space, and until then the log has it")
		n.runLow()
	}
	n.flush.noSpace = full
	switch {
	case full:
	case err != nil:
		n.stateFailed(err)
	default:
		n.flush.at = n.env.Clock.Now()
		n.flush.durable = max(n.flush.durable, f.file.index)
		n.flush.size, n.flush.inUse = f.file.size, f.file.inUse
		observe(n.cfg.Observe.BackendCommit, f.took)
		n.compactLog()
	}
}

// fellBehind hears how much is fresh. A full disk is asked again by flushIdle alone.
func (n *Node) fellBehind(b apply.Backlog) {
	atLeast := func(flushes int) bool {
		return b.Ops >= flushes*n.cfg.FlushOps || b.Entries >= uint64(flushes*n.cfg.FlushOps) || b.Bytes >= flushes*n.cfg.FlushBytes
	}
	n.flush.farBehind = atLeast(maxFlushesBehind)
	if atLeast(1) && !n.flush.underWay && !n.flush.noSpace && n.lost.reason == "" {
		n.startFlush(nil, func(error) {})
	}
}

// flushIdle sees to it that nothing stays uncommitted for long when little is written, and that a full disk is tried again
// even if nothing was applied since: what is left to commit may be a compaction, or gone with the state it was for.
func (n *Node) flushIdle(now time.Duration) {
	due := n.flush.durable < n.applied || n.flush.noSpace
	if n.raw == nil || n.lost.reason != "" || n.flush.underWay || !due || now-n.flush.at < flushInterval {
		return
	}
	n.startFlush(nil, func(error) {})
}

// closeState is the end of the state. A clean stop leaves nothing to replay; a crash at any point, or a full disk, only means
// more replay, and a state that is damaged will not be used again.
func (n *Node) closeState(done func(error)) {
	closeFile := func(flushErr error) {
		n.applyLane.Do(n.state.close, func(closeErr error) {
			for _, err := range []error{flushErr, closeErr} {
				if err != nil && !errors.Is(err, env.ErrNoSpace) && !errors.Is(err, backend.ErrDamaged) {
					done(err)
					return
				}
			}
			done(nil)
		})
	}
	if n.view == nil { // nothing was applied yet
		closeFile(nil)
		return
	}
	n.startFlush(nil, closeFile)
}

// state is what the apply lane owns.
type state struct {
	db      *backend.DB
	machine *apply.Machine
	// pin is the copy being made, if any. It keeps the file open: whoever closes the file lets it finish first.
	pin *backend.Pin
	// retryAt is when a flush is tried again that found the disk full.
	retryAt time.Duration
}

// measure describes the file, which holds everything up to index.
func (s *state) measure(index uint64) stateFile {
	return stateFile{index: index, size: s.db.Size(), inUse: s.db.InUse()}
}

func (s *state) close() error {
	if s.db == nil {
		return nil
	}
	return s.db.Close()
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
