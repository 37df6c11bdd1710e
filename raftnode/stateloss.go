package raftnode

import (
	"errors"
	"fmt"
	"math"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/snap"
)

// The state is a cache of the log, so that one that turns out to be damaged costs time and no data: another one comes from
// a peer, as a snapshot, and from this node's own log. It is made a new generation; the damaged one is kept as evidence.
//
// The log is whole meanwhile. A node whose state is lost while it runs therefore goes on to vote and to acknowledge, but it
// serves nothing, applies nothing, and hands leadership over. One that finds out when it starts waits with all of that.

// stateLoss is a state that cannot be used.
type stateLoss struct {
	reason  string // "" if the state is there
	suspect bool   // it may be sound: two attempts to open it died, and that is all that is known
	rounds  int    // how often all peers were asked in vain
	// check is the index of the check that found the state to have diverged, 0 if it is damaged in another way; sources are
	// the members that may then give another.
	check   uint64
	sources []uint64

	// failed is what the damaged state could not take of the committed entries. They wait with all that come since.
	failed   []*raftpb.Message
	handedAt time.Duration // when leadership was last offered to others
}

// StateDamaged tells the node that its state turned out to be damaged, as a read does that finds a wrong checksum. why
// matches backend.ErrDamaged.
func (n *Node) StateDamaged(why error) {
	if n.stopped || n.raw == nil || n.lost.reason != "" {
		return
	}
	if !n.hasPeers() {
		next := "restore this node from a backup"
		if n.mem.baseIndex == initialIndex {
			next = "start it again, its log goes back to the beginning and makes the state anew"
		}
		n.fail(fmt.Errorf("%w: there is no other member to fetch a snapshot from: %s", why, next))
		return
	}
	n.lost.reason = why.Error()
	if c := divergence(why); c != nil {
		n.diverged(c)
	}
	n.watches.Suspend()
	n.logger.Error("state is damaged: nothing is served until it is rebuilt from a peer's snapshot", "error", why)
	n.condemn(n.view, why)
	n.publish()
	n.rebuildTick(n.env.Clock.Now())
}

// condemn lets nothing more be applied to the state that v shows, and sees to it that no start takes it for sound. A
// snapshot whose installation was under way may have taken its place by then.
func (n *Node) condemn(v *apply.View, why error) {
	n.applyLane.Do(func() error {
		if !v.Of(n.state.machine) {
			return nil
		}
		n.state.machine.Condemn(why)
		return backend.Condemn(n.env.FS, stateDir, why.Error())
	}, func(err error) {
		if err != nil {
			n.logger.Warn("damaged state not marked", "error", err)
		}
	})
}

// stateFailed ends the node, or only its state if that is damaged.
func (n *Node) stateFailed(err error) {
	if !errors.Is(err, backend.ErrDamaged) {
		n.fail(err)
		return
	}
	n.StateDamaged(err)
}

// examineState reads all of the state file, as a start does, because a copy of it arrived damaged at somebody who told so.
// If nothing is wrong here, it was the copy: another one is made.
func (n *Node) examineState(index uint64) {
	f := n.snaps.file
	if n.snaps.examining || n.view == nil || f == nil || f.meta.Index != index {
		return
	}
	n.snaps.examining = true
	n.forgetSnapshot(f)
	n.afterFlush(func() { // nobody writes meanwhile
		n.applyLane.Do(func() error {
			_, err := n.openMachine(n.state.db)
			return err
		}, func(err error) {
			n.snaps.examining = false
			if !n.stopped && errors.Is(err, backend.ErrDamaged) {
				n.StateDamaged(err)
			}
		})
	})
}

func (n *Node) hasPeers() bool { return n.nextPeer(n.self.Member) != 0 }

// rebuildTick sees to it that somebody else leads, and that a snapshot is on its way.
func (n *Node) rebuildTick(now time.Duration) {
	l := &n.lost
	if n.raw == nil || l.reason == "" {
		return
	}
	if n.leads() && n.transfer == nil && (l.handedAt == 0 || now-l.handedAt >= n.cfg.electionTimeout()) {
		l.handedAt = now
		n.TransferLeadership(0, func(error) {})
	}
	if n.fetch == nil && n.staged == nil && !n.appends.holdsSnapshot() && !n.resting(now) {
		n.restoreState(n.nextPeer(n.self.Member))
	}
}

// installRebuilt puts a fetched snapshot in the place of a state that was lost while the node runs, and takes it from
// there to where the node was. The log does not change, so it must have the snapshot's entry.
func (n *Node) installRebuilt(from uint64) {
	if n.snaps.making {
		n.snaps.then = func() { n.installRebuilt(from) }
		return
	}
	// Behind all that was under way to the old state: then the node stands still.
	n.applyLane.Do(func() error { return nil }, func(error) {
		if n.stopped {
			return
		}
		s := n.staged
		missed, ok := n.behind(s.meta)
		if !ok {
			n.discardStaged(func() { n.restoreFromNext(from) })
			return
		}
		n.afterFlush(func() { n.replaceLost(s, missed) })
	})
}

// behind returns the entries that were applied behind a snapshot, if the log has the snapshot's and all of them.
func (n *Node) behind(m snap.Meta) ([]*raftpb.Entry, bool) {
	if term, err := n.mem.Term(m.Index); err != nil || term != m.Term {
		return nil, false
	}
	if m.Index >= n.applied {
		return nil, true
	}
	entries, err := n.mem.Entries(m.Index+1, n.applied+1, math.MaxUint64)
	return entries, err == nil
}

func (n *Node) replaceLost(s *staged, missed []*raftpb.Entry) {
	var state opened
	applied := n.applied
	n.applyLane.Do(func() (err error) {
		if state, err = n.state.replace(s); err != nil {
			return err
		}
		// Whoever waits for these was answered long ago.
		if _, err = n.state.machine.Apply(missed, apply.RequestID{}); err != nil {
			return fmt.Errorf("replay the log up to index %d: %w", applied, err)
		}
		state.view, state.leases = n.state.machine.View(), n.state.machine.Leases()
		return nil
	}, func(err error) {
		n.staged = nil
		switch c := divergence(err); {
		case n.stopped:
			return
		case c != nil:
			n.rebuiltInVain(s, state.view, err, c)
			return
		case err != nil:
			n.fail(err)
			return
		}
		n.logger.Warn("state rebuilt from a snapshot", "index", s.meta.Index, "replayed", len(missed))
		n.removeInstalled(s.meta)
		n.applied, n.view = max(n.applied, s.meta.Index), state.view
		n.stats.SnapshotsInstalled++
		n.adoptLeases(state.leases)
		n.flush.durable, n.flush.size, n.flush.inUse = s.meta.Index, state.file.size, state.file.inUse
		n.compaction.done = false
		n.stateBack()
	})
}

// rebuiltInVain puts up with a new state that turned out, on the way to where this node was, to have diverged as well: its
// giver has not found out yet.
func (n *Node) rebuiltInVain(s *staged, shows *apply.View, why error, c *apply.Check) {
	n.lost.reason = why.Error()
	n.diverged(c)
	n.histories.rebuilt = n.env.Clock.Now()
	n.removeInstalled(s.meta)
	n.condemn(shows, why)
	n.publish()
}

// stateBack serves again, and applies what waited.
func (n *Node) stateBack() {
	if n.lost.reason != "" {
		n.stats.Repairs++
	}
	if n.lost.check > 0 {
		n.histories.rebuilt = n.env.Clock.Now()
	}
	// What this node had sent may be part of the new state, and nobody answers for it: a second copy is answered as such.
	n.requeueSent()
	n.committed = append(n.lost.failed, n.committed...)
	n.lost = stateLoss{}
	n.publish()
	n.serveApplied()
	n.applyCommitted()
	n.schedule()
}

// insist opens a suspect state after all: when everybody's is suspect, as it may be after power cuts at the wrong moment,
// there is nobody to fetch another one from. peer is asked next if that fails.
func (n *Node) insist(peer uint64) {
	n.fetch = nil
	n.logger.Warn("no peer has a snapshot to offer: trying the suspect state file again")
	o := n.cfg.Backend
	o.Insist = true
	n.applyLane.Do(func() error { return n.loadState(o) }, func(err error) {
		switch {
		case n.stopped:
		case errors.Is(err, backend.ErrDamaged):
			if err := n.stateLost(err); err != nil {
				n.logger.Warn("damaged state not marked", "error", err)
			}
			n.restoreState(peer)
		case err != nil:
			n.fail(err)
		default:
			n.joinState(peer)
		}
	})
}

// joinState takes a state that was opened late, unless the log begins behind it.
func (n *Node) joinState(peer uint64) {
	if applied, _ := n.state.machine.Applied(); applied >= n.mem.baseIndex {
		n.adopt()
		return
	}
	n.lost.suspect = false
	if err := n.dropState(); err != nil {
		n.fail(err)
		return
	}
	n.restoreState(peer)
}

// damage says what the disk lost, for whoever asks for the status.
func (n *Node) damage() string {
	switch {
	case n.repair != nil:
		s := n.repair.describe()
		if len(n.repair.answers) >= len(n.mem.conf.GetVoters())-1 { // all were asked
			s += "; if nobody will ever have it, " + n.lastResort()
		}
		return s
	case n.lost.reason == "" && n.scrub.renew != nil && n.scrub.renew.serious && n.scrub.renew.confirmed:
		return n.scrub.renew.what + "; the log is about to be written anew from memory"
	case n.lost.reason == "":
		return ""
	case n.fetch != nil:
		return n.lost.reason + "; fetching a snapshot from member " + hex(n.fetch.from)
	}
	return n.lost.reason
}
