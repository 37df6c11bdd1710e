package raftnode

import (
	"fmt"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// compactLog drops the entries that the state file holds durably, but for those kept for slow followers. It runs after
// a flush: nothing above flush.durable may go, whatever the bounds say.
func (n *Node) compactLog() {
	held := n.flush.durable - min(n.flush.durable, n.mem.baseIndex)
	large, full := n.mem.bytes > n.cfg.LogBytes, n.mem.bytes > n.cfg.MaxLogBytes // memory decides, not the number of entries
	if held < n.cfg.SnapshotEntries+n.cfg.CatchUpEntries && !large {
		return
	}
	index := n.flush.durable - min(held, n.cfg.CatchUpEntries)
	if large {
		index = max(index, n.flush.durable-held/2)
	}
	switch {
	case full:
	case large: // so soon that a member which just restarts would find it gone
		index = min(index, n.catchingUp(restartPatience))
	default:
		index = min(index, n.catchingUp(n.cfg.electionTimeout()))
	}
	if index <= n.mem.baseIndex {
		return
	}
	n.mem.compact(index)
	n.logger.Debug("log compacted", "index", index, "durable", n.flush.durable)
	n.onWAL(func() error { return n.disk.log.Compact(index) }, func(err error) {
		if err != nil && !n.stopped {
			n.fail(fmt.Errorf("remove log segments up to index %d: %w", index, err))
		}
	})
}

// catchingUp is the index from which the slowest follower still needs the log, among those that were heard that short
// ago and can be served from it, or will be after the snapshot that they are fetching. To compact past it would send a
// follower that is nearly there a snapshot, and with steady writes one after the other.
func (n *Node) catchingUp(ago time.Duration) uint64 {
	lowest := n.flush.durable
	if n.role != raft.StateLeader {
		return lowest
	}
	now := n.env.Clock.Now()
	n.raw.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if at, ok := n.heard[id]; id == n.self.Member || !ok || now-at >= ago {
			return
		}
		needs := pr.Match
		if pr.State == tracker.StateSnapshot {
			needs = pr.PendingSnapshot
		}
		if needs >= n.mem.baseIndex {
			lowest = min(lowest, needs)
		}
	})
	return lowest
}

// compaction follows the deletion of revisions that a client's Compact gave up: logical at once, physical in slices.
type compaction struct {
	stepping bool     // a slice is on the apply lane
	done     bool     // nothing is left to delete
	pace     int      // slices in a tick
	waiters  []func() // clients that asked for a physical compaction
}

// hurry sets the pace while so many slices are left: one that clients hardly notice, but for so much that it would take too
// long, or never end while they overwrite more.
func (c *compaction) hurry(left int) {
	if c.done {
		c.pace = 0
	}
	c.pace = max(c.pace, compactSlices, left/compactTicks)
}

// compactPhysically deletes compacted revisions, so many slices a tick at the most. Each is queued behind the applies that
// came during the one before, so that those never wait for long.
func (n *Node) compactPhysically(slices int) {
	c := &n.compaction
	if n.raw == nil || n.lost.reason != "" || c.stepping || n.flush.holdsUpApplies() || (c.done && len(c.waiters) == 0) {
		return
	}
	c.stepping = true
	waiters := c.waiters
	c.waiters = nil
	var (
		finished bool
		left     int
		backlog  apply.Backlog
	)
	n.applyLane.Do(func() error {
		finished, left = n.state.machine.CompactStep(), n.state.machine.CompactionLeft()
		backlog = n.state.machine.Backlog()
		return nil
	}, func(error) {
		c.stepping, c.done = false, finished
		c.hurry(left)
		switch {
		case n.stopped:
			return
		case !c.done:
			c.waiters = append(waiters, c.waiters...)
		case len(waiters) > 0:
			n.startFlush(nil, func(err error) { n.compacted(waiters, err) })
		}
		n.fellBehind(backlog) // nobody else sees to it while nothing is applied
		if !c.done && slices > 1 {
			n.compactPhysically(slices - 1)
		}
	})
}

// compacted answers those who waited for a compaction that a flush has made durable.
func (n *Node) compacted(waiters []func(), err error) {
	c := &n.compaction
	switch {
	case n.stopped:
	case err != nil:
		c.waiters = append(waiters, c.waiters...)
	default:
		for _, w := range waiters {
			w()
		}
	}
}

// AwaitCompaction calls done, on the loop, once everything compacted before the call is gone from this node's file. It
// is not called when the node stops first.
func (n *Node) AwaitCompaction(done func()) {
	n.compaction.waiters = append(n.compaction.waiters, done)
}
