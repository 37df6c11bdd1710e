package raftnode

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// Disks lose what nobody reads, and a copy that is lost unnoticed is no copy when the next disk fails. So the scrubber reads
// all files, slowly and again and again, while everything that is in them is still known elsewhere:
//
//   - The identity and the hard state are in memory, and are written anew from there.
//   - The log's entries above what the state file holds durably are in memory too. The log is renewed: it begins anew behind
//     the state with those entries, in one step (log.go has them, wal.Renew says why it is one step).
//   - A damaged state is rebuilt from a peer, as always (stateloss.go).
//
// It reads on a lane of its own and changes nothing but the identity; what other lanes own, they mend. What is found in a
// segment that was compacted meanwhile does not count, and the log is read again.

const (
	// firstScrub is within which time after a start the first pass begins, at random: members that start together must not
	// read together.
	firstScrub = 10 * time.Minute
	// scrubAgain is the part of the interval after which a pass is repeated that left something out.
	scrubAgain = 24
	// A piece is read at a time, a quarter of a second's worth within bounds.
	minScrubPiece, maxScrubPiece = 4 << 10, 256 << 10
)

// scrubber is the loop's knowledge of the scrubbing.
type scrubber struct {
	due   bool        // the next one has its time
	pass  *scrubPass  // under way, nil between two
	asked []func()    // who waits for a pass that has not begun
	renew *logRenewal // of the log, nil if nothing is wrong with it
}

// scrubPass is one reading of all files.
type scrubPass struct {
	paced   bool
	partial bool // something could not be looked at
	started time.Duration
	log     *wal.Scrub
	db      *backend.DB
	rows    *mvcc.Verifier
	done    []func()
}

// logRenewal is a log that is to be written anew.
type logRenewal struct {
	what      string
	serious   bool   // entries would be missed at a start, or were lost though nothing missed them
	segment   uint64 // where it was found
	confirmed bool   // the log still has that segment
	notBefore time.Duration
	tried     func(gone bool) // called after the first attempt; gone says that the segment was compacted meanwhile
}

// ScrubStats says what the scrubber has done since boot.
type ScrubStats struct {
	Passes    uint64 // that left nothing out
	LastPass  int64  // when the last of them ended, in seconds of Unix time; 0: none did
	Bytes     uint64 // read
	PassBytes uint64 // of these, by the pass under way

	// What was found damaged, by where it was.
	Identity, HardState, Log, State uint64
	// Leftovers are unreadable parts of the log that nothing was missed for: a power cut leaves such, too.
	Leftovers uint64
}

// planScrub begins the next pass after d.
func (n *Node) planScrub(d time.Duration) {
	if n.cfg.ScrubRate < 0 {
		return
	}
	n.scrub.due = true
	n.env.Clock.After(d, func() {
		n.scrub.due = false
		n.startPass(true)
	})
}

// planFirstScrub spreads the first passes of members that start together.
func (n *Node) planFirstScrub() {
	n.planScrub(time.Duration(n.env.Rand.Int64N(int64(min(n.cfg.ScrubInterval, firstScrub)))))
}

// Scrub reads all files now, as fast as the disk does, and then calls done, on the loop, unless the node stops first. What
// is found is mended as if it had been found in time; Status counts it.
func (n *Node) Scrub(done func()) {
	n.scrub.asked = append(n.scrub.asked, done)
	if n.scrub.pass != nil {
		n.scrub.pass.paced = false // the one under way first
		return
	}
	n.startPass(false)
}

func (n *Node) startPass(paced bool) {
	if n.stopped || n.scrub.pass != nil {
		return
	}
	p := &scrubPass{paced: paced && len(n.scrub.asked) == 0, started: n.env.Clock.Now(), done: n.scrub.asked}
	n.scrub.pass, n.scrub.asked = p, nil
	n.stats.Scrub.PassBytes = 0
	n.scrubIdentity(p)
}

func (n *Node) endPass(p *scrubPass) {
	s := &n.stats.Scrub
	n.scrub.pass = nil
	next := n.cfg.ScrubInterval
	if p.partial {
		next /= scrubAgain
	} else {
		s.Passes++
		s.LastPass = n.env.Clock.Wall().Unix()
		n.logger.Info("scrubbed: all files were read", "bytes", s.PassBytes, "elapsed", n.env.Clock.Now()-p.started)
	}
	s.PassBytes = 0
	for _, done := range p.done {
		done()
	}
	if len(n.scrub.asked) > 0 {
		n.startPass(false)
		return
	}
	if !n.scrub.due {
		n.planScrub(next - next/20 + time.Duration(n.env.Rand.Int64N(int64(next/10)+1)))
	}
}

// scrubbed counts what was read, and goes on when it is time.
func (n *Node) scrubbed(p *scrubPass, bytes int64, next func(*scrubPass)) {
	n.stats.Scrub.Bytes += uint64(bytes)
	n.stats.Scrub.PassBytes += uint64(bytes)
	if !p.paced {
		next(p)
		return
	}
	n.env.Clock.After(time.Duration(float64(bytes)/float64(n.cfg.ScrubRate)*float64(time.Second)), func() {
		if !n.stopped {
			next(p)
		}
	})
}

func (n *Node) scrubPiece() int64 { return min(max(n.cfg.ScrubRate/4, minScrubPiece), maxScrubPiece) }

// leaveOut notes that a pass could not look at something.
func (n *Node) leaveOut(p *scrubPass, what string, err error) {
	p.partial = true
	n.logger.Warn("not scrubbed", "what", what, "error", err)
}

func (n *Node) scrubIdentity(p *scrubPass) {
	var damage error
	n.scrubLane.Do(func() error {
		return retrying(n.env.FS, func() (err error) {
			damage, err = wal.MendIdentity(n.env.FS, n.identity)
			return err
		})
	}, func(err error) {
		if n.mended(p, "identity", damage, err, &n.stats.Scrub.Identity) {
			n.scrubHardState(p)
		}
	})
}

func (n *Node) scrubHardState(p *scrubPass) {
	var damage error
	n.onWAL(func() error {
		return retrying(n.env.FS, func() (err error) {
			damage, err = n.disk.hardFile.Mend(n.env.FS)
			return err
		})
	}, func(err error) {
		if n.mended(p, "hard state", damage, err, &n.stats.Scrub.HardState) {
			n.scrubLog(p)
		}
	})
}

// mended takes what came of a look at a file that memory has as well, and says whether to go on.
func (n *Node) mended(p *scrubPass, file string, damage, err error, count *uint64) bool {
	switch {
	case n.stopped:
		return false
	case damage == nil && err != nil:
		n.leaveOut(p, file, err)
	case damage == nil:
	case errors.Is(err, env.ErrNoSpace):
		n.leaveOut(p, file, fmt.Errorf("it is damaged (%w), and there is no space to write it anew: %w", damage, err))
	case err != nil:
		n.fail(fmt.Errorf("the %s is damaged (%w) and could not be written anew: %w", file, damage, err))
		return false
	default:
		*count++
		n.stats.Repairs++
		n.logger.Warn("scrub found damage: written anew from memory", "what", file, "error", damage)
	}
	return true
}

func (n *Node) scrubLog(p *scrubPass) {
	if n.raw == nil || n.scrub.renew != nil {
		p.partial = true // it is being repaired
		n.scrubState(p)
		return
	}
	var x wal.Extent
	n.onWAL(func() error {
		x = n.disk.log.Extent()
		return nil
	}, func(error) {
		if !n.stopped {
			p.log = wal.NewScrub(n.env.FS, walDir, walConfig(n.cfg, n.identity), x)
			n.scrubLogPiece(p)
		}
	})
}

func (n *Node) scrubLogPiece(p *scrubPass) {
	var read int64
	var done bool
	n.scrubLane.Do(func() (err error) {
		read, done, err = p.log.Next(n.scrubPiece())
		return err
	}, func(err error) {
		if n.stopped {
			return
		}
		next := n.scrubState
		renew := func(r *logRenewal) {
			next = func(p *scrubPass) {
				n.logDamaged(r, func(gone bool) {
					if gone {
						n.scrubLog(p) // what is behind that segment has not been read
						return
					}
					n.scrubState(p)
				})
			}
		}
		var corrupt *wal.CorruptError
		switch {
		case errors.As(err, &corrupt):
			renew(&logRenewal{what: corrupt.Error(), serious: true, segment: p.log.Reading})
		case err != nil:
			n.leaveOut(p, "log", err)
		case !done:
			next = n.scrubLogPiece
		default:
			if what, rotten := p.log.Leftovers(); what != "" {
				renew(&logRenewal{what: what, serious: rotten, segment: p.log.Reading})
			}
		}
		n.scrubbed(p, read, next)
	})
}

// logDamaged has the log written anew as soon as may be, and calls tried after the first attempt.
func (n *Node) logDamaged(r *logRenewal, tried func(gone bool)) {
	r.tried = tried
	n.scrub.renew = r
	n.startAppend()
}

// renewLog writes the log anew if that is due and the wal lane is free: what memory holds is then what the log holds.
// Nothing is appended meanwhile.
func (n *Node) renewLog() {
	r := n.scrub.renew
	if r == nil || n.appends.busy || n.stopped || n.lost.reason != "" || n.env.Clock.Now() < r.notBefore {
		return
	}
	base, entries := n.logToKeep()
	n.appends.busy = true
	gone := false
	n.onWAL(func() error {
		if gone = r.segment < n.disk.log.Extent().Oldest; gone {
			return nil
		}
		return retrying(n.env.FS, func() error { return n.disk.log.Renew(base, entries) })
	}, func(err error) {
		n.appends.busy = false
		switch {
		case n.stopped:
			return
		case errors.Is(err, env.ErrNoSpace):
			r.confirmed = true
			n.publish()
			n.logger.Warn("scrub found damage in the log, and there is no space to write it anew", "what", r.what)
			r.notBefore = n.env.Clock.Now() + spaceInterval
		case err != nil:
			n.fail(fmt.Errorf("write-ahead log: %s: %w", r.what, err))
			return
		default:
			n.scrub.renew = nil
			if !gone {
				n.logRenewed(r, base)
			}
		}
		n.startAppend()
		n.schedule()
		if tried := r.tried; tried != nil {
			r.tried = nil
			tried(gone)
		}
	})
}

// logToKeep is all of the log that the state file does not hold durably. A node alone keeps the rest, too: from a log that
// goes back to the beginning it can make its state anew, and nobody else can help it.
func (n *Node) logToKeep() (wal.Snapshot, []*raftpb.Entry) {
	base := wal.Snapshot{Index: n.mem.baseIndex, ConfState: n.mem.conf}
	if n.hasPeers() {
		base.Index = max(base.Index, n.flush.durable)
	}
	base.Term = n.mem.termOf(base.Index)
	return base, n.mem.entries[base.Index-n.mem.baseIndex:]
}

func (n *Node) logRenewed(r *logRenewal, base wal.Snapshot) {
	n.appends.sealed, n.appends.idleFrom = false, n.env.Clock.Now()
	if !r.serious {
		n.stats.Scrub.Leftovers++
		n.logger.Info("scrub found a part of the log that nobody can read or needs: log written anew", "what", r.what,
			"from", base.Index)
		return
	}
	n.stats.Scrub.Log++
	n.stats.Repairs++
	n.logger.Warn("scrub found damage in the log: written anew from memory", "what", r.what, "from", base.Index)
}

func (n *Node) scrubState(p *scrubPass) {
	n.applyLane.Do(func() error {
		p.db = n.state.db
		return nil
	}, func(error) {
		switch {
		case n.stopped:
			return
		case n.raw == nil || n.lost.reason != "" || p.db == nil:
			p.partial = true // it is being rebuilt
			n.endPass(p)
			return
		}
		n.scrubLane.Do(func() error {
			_, err := apply.Inspect(p.db)
			return err
		}, func(err error) {
			p.rows = mvcc.NewVerifier(p.db)
			n.stateScrubbed(p, 0, false, err)
		})
	})
}

func (n *Node) scrubRows(p *scrubPass) {
	var slice mvcc.Slice
	var done bool
	n.scrubLane.Do(func() (err error) {
		var damage []error
		slice, done, err = p.rows.Next(n.scrubPiece(), func(bad error) { damage = append(damage, bad) })
		return firstError(append(damage, err)...)
	}, func(err error) { n.stateScrubbed(p, slice.Bytes, done, err) })
}

// stateScrubbed takes what came of a piece of the state file.
func (n *Node) stateScrubbed(p *scrubPass, bytes int64, done bool, err error) {
	switch {
	case n.stopped:
		return
	case err == nil && !done:
		n.scrubbed(p, bytes, n.scrubRows)
		return
	case err == nil, errors.Is(err, backend.ErrClosed):
		// Another state came in its place: all of that was read then.
	case errors.Is(err, backend.ErrDamaged):
		n.scrubbed(p, bytes, func(p *scrubPass) { n.stateRotten(p, err) })
		return
	default:
		n.leaveOut(p, "state", err)
	}
	n.scrubbed(p, bytes, n.endPass)
}

// stateRotten declares the state damaged, unless another one has taken its place, and ends the pass.
func (n *Node) stateRotten(p *scrubPass, why error) {
	same := false
	n.applyLane.Do(func() error {
		same = n.state.db == p.db
		return nil
	}, func(error) {
		if n.stopped {
			return
		}
		if same && n.lost.reason == "" {
			n.stats.Scrub.State++
			n.logger.Warn("scrub found damage in the state", "error", why)
			n.StateDamaged(fmt.Errorf("scrub: %w", why))
		}
		n.endPass(p)
	})
}
