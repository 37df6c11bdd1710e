package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/quorumkv/quorumkv/raftnode"
)

// Trials are what a healed cluster goes through when the seed has disks that hang or fill up, a crowd of watchers, or memory
// that lies: one trouble alone, with nothing else to blame, so that how soon the cluster copes with it can be held against a bound.

// The bounds count from the fault, or from its end, and grow with the network's delay: what copes takes messages.
const (
	stallLimit  = 2500 * time.Millisecond // until writes go on that the leader's disk held up
	hangLimit   = time.Second             // for a few writes beside a follower's disk that hangs
	fullLimit   = 5 * time.Second         // until all know of a full disk, and until writes are accepted again
	goneLimit   = 1200 * time.Millisecond // until somebody stands for a leader whose process has ended; without news of that two seconds
	voteLimit   = 8 * time.Second         // until another leads: some election timeouts, for who has no space must miss the old one first
	trialHops   = 20                      // messages, one after the other, that a bound allows for
	trialWrites = 4
)

// What a node has whose disk fills up: short segments, since it is a new one that finds no space, and a ballast that holds
// some of them.
const (
	shortSegmentBytes = 4 << 10
	ballastBytes      = 12 << 10
)

func (w *world) trials() {
	if w.opt.Watchers >= fewWatchers {
		w.burstTrial()
	}
	if w.opt.HangEvery > 0 && len(w.nodes) > 1 {
		w.stallTrial(true)
		w.stallTrial(false)
	}
	if w.opt.CrashEvery > 0 && len(w.nodes) > 1 && w.opt.DelayMean <= quickDelay {
		w.goneTrial()
	}
	if w.opt.FullEvery > 0 {
		w.fullTrial()
		if len(w.nodes) == 3 && !w.opt.CopyOnWrite {
			w.voteTrial()
		}
	}
	if w.opt.Overload {
		w.overloadTrial()
	}
	if w.opt.PieceTrouble > 0 && w.opt.SnapshotEntries < fewEntries && len(w.nodes) > 1 {
		w.snapshotTrial()
	}
	if w.opt.CheckEvery > 0 {
		w.twistTrial(true)
		w.twistTrial(false)
	}
	if w.opt.Impostors > 0 && len(w.nodes) > 1 {
		w.oldDiskTrial()
	}
}

// within runs until done, which must come before the limit is over. Clocks that run slowly have more time.
func (w *world) within(limit time.Duration, done func() bool, what string) {
	if w.failure != "" {
		return
	}
	limit += time.Duration(float64(limit)*w.opt.Drift) + trialHops*w.opt.DelayMean
	for end := w.queue.now + limit; w.failure == "" && !done(); {
		for _, n := range w.squeezed {
			n.fs.SetCapacity(n.fs.Used() + w.left)
		}
		if !w.step(end) {
			break
		}
	}
	if w.failure == "" && !done() {
		w.violation("%s within %v: %s", what, limit, w.check.describe())
	}
}

// leaderNode is the node that all follow, nil if they do not agree.
func (w *world) leaderNode() *node {
	for _, n := range w.nodes {
		if n.stat.Leader == 0 || n.stat.Leader != w.nodes[0].stat.Leader {
			return nil
		}
	}
	return w.nodes[w.indexOf(w.nodes[0].stat.Leader)]
}

// writes returns a condition: that many writes, one after the other, were accepted through nodes other than one.
func (w *world) writes(count int, but *node) func() bool {
	var others []*node
	for _, n := range w.nodes {
		if n != but {
			others = append(others, n)
		}
	}
	w.check.demandProgress()
	return func() bool {
		if count > 0 && w.check.probed(others) {
			count--
			w.check.demandProgress()
		}
		return count == 0
	}
}

// burstTrial puts values all at once and then no more: whoever watches must see the last of them with nothing coming after
// it that would wake a forgotten stream. The end of the run looks at that.
func (w *world) burstTrial() {
	var burst []*operation
	for range trialWrites {
		for _, n := range w.nodes {
			burst = append(burst, w.load.attempt(n, opUnique))
		}
	}
	w.within(fullLimit, func() bool {
		return !slices.ContainsFunc(burst, func(op *operation) bool { return op.end == 0 })
	}, "writes put all at once, and not all were answered")
}

// stallTrial lets the log of the leader, or of a follower, hang for good. The first write is committed all the same, by
// the others: it takes another one to notice.
func (w *world) stallTrial(leader bool) {
	w.within(fullLimit, func() bool { return w.leaderNode() != nil }, "no leader that all follow")
	if w.failure != "" {
		return
	}
	lead := w.leaderNode()
	n, limit := lead, stallLimit
	if !leader {
		n, limit = w.nodes[(lead.index+1+w.rng.IntN(len(w.nodes)-1))%len(w.nodes)], hangLimit
	}
	w.count.Hangs++
	w.trace.event(w.queue.now, n.index+1, "trial: log hangs")
	n.stall("wal", w.opt.Heal)
	w.within(limit, w.writes(trialWrites, n), "a log hangs, and writes through the other nodes were not accepted")
	if w.failure == "" && n.stat.DiskStall > 0 && n.stat.Leader == n.id {
		w.violation("node %d still leads, its log has been hanging for %v", n.index+1, n.stat.DiskStall)
	}
	delete(n.stalled, "wal")
	n.proceed("wal")
	w.within(fullLimit, w.settled, "the log hangs no more, and the nodes did not catch up")
}

// settled tells whether all nodes have applied the same.
func (w *world) settled() bool {
	for _, n := range w.nodes {
		if n.stat.Applied != w.nodes[0].stat.Applied || n.stat.DiskStall > 0 {
			return false
		}
	}
	return true
}

// fullTrial fills the disks of one node, or of all, but for the little that it takes to say so, whatever they free: writes
// are refused with the right error, reads and deletes are not, and when there is space again writes are accepted.
func (w *world) fullTrial() {
	all, one := w.rng.IntN(3) == 0, w.rng.IntN(len(w.nodes))
	w.left = ballastBytes
	for i, n := range w.nodes {
		if all || i == one {
			w.count.Fulls++
			w.trace.event(w.queue.now, i+1, "trial: disk full")
			w.squeezed = append(w.squeezed, n)
		}
	}
	w.within(fullLimit, func() bool { return w.everyNode(func(n *node) bool { return n.view.NoSpace() }) },
		"a disk is full, and not all nodes knew")
	if w.failure != "" {
		return
	}
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	put, del, get := w.answered(n, opUnique), w.answered(n, opDelete), w.answered(n, opGet)
	if w.failure == "" && (!errors.Is(put.err, raftnode.ErrNoSpace) || !del.acked || !get.acked) {
		w.violation("a disk is full: a put ended with %v, a delete was accepted: %t (%v), a read was answered: %t",
			put.err, del.acked, del.err, get.acked)
	}
	for _, n := range w.squeezed {
		n.free()
	}
	w.squeezed = nil
	w.within(fullLimit, w.writes(1, nil), "disks have space again, and no write was accepted")
}

// voteTrial fills a follower's disk until its log waits, and takes the leader away: the third node is elected, with the
// vote of the one that can take nothing but votes. With three nodes it has no other.
func (w *world) voteTrial() {
	w.within(fullLimit, func() bool { return w.leaderNode() != nil && w.settled() }, "no leader that all follow")
	if w.failure != "" {
		return
	}
	lead := w.leaderNode()
	full := w.nodes[(lead.index+1+w.rng.IntN(2))%3]
	third := w.nodes[3-lead.index-full.index]
	w.trace.event(w.queue.now, full.index+1, "trial: no space for the log")
	w.squeezed, w.left = []*node{full}, 0
	for i := 0; i < 2*shortSegmentBytes/64 && full.stat.DiskStall == 0 && w.failure == ""; i++ {
		w.answered(lead, opDelete)
	}
	w.runUntil(w.queue.now+2*time.Second, func() bool { return full.stat.DiskStall > 0 }) // it takes a second to be called so
	if full.stat.DiskStall > 0 && lead.stat.Leader == lead.id && w.failure == "" {
		w.count.VoteTrials++
		lead.frozen = true
		lead.crash(false)
		w.within(voteLimit, func() bool { return third.stat.Leader == third.id }, "a vote was needed of a node without space for its log")
		lead.frozen = false
		if w.failure == "" {
			lead.start()
		}
	}
	full.free()
	w.squeezed = nil
	w.within(fullLimit+voteLimit, w.writes(1, nil), "the disk has space again, and no write was accepted")
	w.within(fullLimit, w.settled, "the disk has space again, and the nodes did not catch up")
}

// quickDelay is the delay of networks on which asking for votes takes little of goneLimit.
const quickDelay = 5 * time.Millisecond

// goneTrial kills the leader: the others hear that nobody listens there any more, and one stands in less than an election
// timeout and what chance may add to it. What was on its way is lost: as long as a connection brings anything, its end is not
// heard.
func (w *world) goneTrial() {
	w.within(fullLimit, func() bool { return w.leaderNode() != nil && w.settled() }, "no leader that all follow")
	if w.failure != "" {
		return
	}
	lead := w.leaderNode()
	term := lead.stat.Term
	w.count.GoneTrials++
	w.trace.event(w.queue.now, lead.index+1, "trial: the leader's process ends")
	lead.frozen = true
	lead.crash(false)
	w.net.silenced[lead.index] = lead.life
	w.within(goneLimit, func() bool {
		return slices.ContainsFunc(w.nodes, func(n *node) bool { return n != lead && n.stat.Term > term })
	}, "the leader's process has ended, and nobody stood for election")
	lead.frozen = false
	if w.failure == "" {
		lead.start()
	}
	w.within(fullLimit, w.writes(1, nil), "a leader's process ended, and no write was accepted")
}

// answered carries out an operation, once there is room for it among those that wait.
func (w *world) answered(n *node, kind opKind) *operation {
	op := w.load.attempt(n, kind)
	w.within(fullLimit, func() bool {
		if errors.Is(op.err, raftnode.ErrTooManyRequests) {
			op = w.load.attempt(n, kind)
		}
		return op.end != 0 && !errors.Is(op.err, raftnode.ErrTooManyRequests)
	}, "a disk is full, and no answer came")
	return op
}

func (w *world) everyNode(holds func(*node) bool) bool {
	for _, n := range w.nodes {
		if n.raft == nil || n.view == nil || !holds(n) {
			return false
		}
	}
	return true
}

// planFull fills disks: somebody else writes to the volume, and frees it again.
func (w *world) planFull() {
	w.every(w.opt.FullEvery, func() {
		d := 500*time.Millisecond + exponential(w.rng, 6*time.Second)
		all, one := w.rng.IntN(4) == 0, w.rng.IntN(len(w.nodes))
		for i, n := range w.nodes {
			if all || i == one {
				w.fill(n, d)
			}
		}
	})
}

// planHang lets one node's log hang until everything heals.
func (w *world) planHang() {
	if w.opt.HangEvery == 0 {
		return // before anything is drawn: seeds without it mean what they meant
	}
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	w.every(w.opt.HangEvery, func() {
		w.count.Hangs++
		w.trace.event(w.queue.now, n.index+1, "log hangs")
		n.stall("wal", w.opt.Faulty-w.queue.now)
	})
}

// fill leaves less on a node's disk than it wants to be free, or nothing, for d or until free. Nothing may mean that
// somebody else is sooner to take what the node releases.
func (w *world) fill(n *node, d time.Duration) {
	used, left := n.fs.Used(), uint64(0)
	switch w.rng.IntN(4) {
	case 0, 1:
		left = w.rng.Uint64N(2 * ballastBytes)
	case 2:
		used -= min(used, ballastBytes)
	}
	w.count.Fulls++
	w.trace.event(w.queue.now, n.index+1, "disk full", left, uint64(d))
	n.fullUntil = max(n.fullUntil, w.queue.now+d)
	n.fs.SetCapacity(used + left)
	w.queue.at(n.fullUntil, func() {
		if w.queue.now >= n.fullUntil {
			n.free()
		}
	})
}
