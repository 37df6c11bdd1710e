package sim

import (
	"slices"
	"time"

	"github.com/quorumkv/quorumkv/raftnode"
)

// leaseChecker holds what must be true of leases:
//
//   - no lease expires before its time to live has passed since the beginning of the newest request that was confirmed,
//     whatever the clocks of the nodes do within their drift, and whoever led in between; a time in which no
//     process ran, all of them paused or down, does not count
//   - a lease is said not to exist only when the log has ended it, and never said to live at a revision at which its keys
//     were gone
//   - what remains of it is never more than its time to live, nor less than what was promised
//   - in the end every lease is gone, within its time to live and what elections take
//
// That its keys go with it, in one revision, is for the model; that writes under a lock come from its owner, too. How long
// a lease that nobody renews may live while anything fails is not checked: it may always be one renewal that nobody saw
// confirmed.
type leaseChecker struct {
	w      *world
	leases map[int64]*heldLease
	healed time.Duration // when everybody was up and connected
}

// heldLease is one lease, by its holder's account and by the log's.
type heldLease struct {
	id, seconds int64
	ttl         time.Duration
	granted     bool          // its grant was acknowledged
	sure        time.Duration // beginning of the newest confirmed request
	revoking    bool          // its holder has asked for its end
	gone        bool          // the log has ended it
	expired     bool          // and nobody wanted it to
	goneAt      time.Duration
	revision    int64 // at which its keys were gone; 0 if it had none
}

func newLeaseChecker(w *world) *leaseChecker {
	return &leaseChecker{w: w, leases: map[int64]*heldLease{}}
}

// asked notes that a lease may exist from now on.
func (c *leaseChecker) asked(id, seconds int64) *heldLease {
	h := &heldLease{id: id, seconds: seconds, ttl: time.Duration(seconds) * time.Second}
	c.leases[id] = h
	return h
}

// least is how long the time to live lasts at least, by the fastest clock.
func (c *leaseChecker) least(d time.Duration) time.Duration {
	return time.Duration(float64(d)/(1+c.w.opt.Drift)) - time.Microsecond
}

// most is how long it lasts by the slowest.
func (c *leaseChecker) most(d time.Duration) time.Duration {
	return time.Duration(float64(d)/(1-c.w.opt.Drift)) + time.Microsecond
}

// confirmed takes a confirmed grant or renewal that began at a moment.
func (c *leaseChecker) confirmed(h *heldLease, begin time.Duration) {
	h.granted = true
	h.sure = max(h.sure, begin)
	c.inTime(h)
}

func (c *leaseChecker) renewed(h *heldLease, begin time.Duration, seconds, revision int64) {
	if seconds != h.seconds {
		c.w.violation("a renewal of lease %d says %d s, it was granted with %d s", h.id, seconds, h.seconds)
	}
	if h.revision > 0 && revision >= h.revision {
		c.w.violation("a renewal of lease %d was confirmed under revision %d, its keys were gone at %d", h.id, revision, h.revision)
	}
	if h.gone && h.goneAt < begin {
		c.w.violation("a renewal of lease %d, begun at %v, was confirmed; it was gone at %v", h.id, begin, h.goneAt)
	}
	c.confirmed(h, begin)
}

// missing takes an answer that there is no such lease, to a call begun when its grant was, or was not, acknowledged.
func (c *leaseChecker) missing(h *heldLease, granted bool, who string) {
	if granted && !h.gone {
		c.w.violation("%s finds no lease %d, which nothing in the log has ended", who, h.id)
	}
}

func (c *leaseChecker) remains(h *heldLease, sure time.Duration, s raftnode.LeaseStatus) {
	if s.Granted != h.seconds || s.Remaining > h.ttl {
		c.w.violation("lease %d of %v is said to be of %d s, of which %v remain", h.id, h.ttl, s.Granted, s.Remaining)
	}
	if end := c.w.queue.now + c.most(s.Remaining); sure > 0 && end < sure+c.least(h.ttl) {
		c.w.violation("lease %d of %v is said to end in %v at the latest, a request confirmed for it began at %v",
			h.id, h.ttl, s.Remaining, sure)
	}
	if !slices.IsSorted(s.Keys) {
		c.w.violation("the keys of lease %d are not in order: %q", h.id, s.Keys)
	}
}

// ended takes the end of a lease in the log; revision is that at which its keys were gone, or 0.
func (c *leaseChecker) ended(id int64, byLeader bool, revision int64) {
	h := c.leases[id]
	if h == nil {
		c.w.violation("lease %d ends, which nobody asked for", id)
		return
	}
	h.gone, h.expired, h.goneAt, h.revision = true, byLeader || !h.revoking, c.w.queue.now, revision
	if h.expired {
		c.w.count.Expiries++
		c.inTime(h)
	}
}

// inTime holds the end of a lease against what was promised, in whichever order the two became known.
func (c *leaseChecker) inTime(h *heldLease) {
	if h.expired && h.sure > 0 && h.goneAt < h.sure+c.least(h.ttl) {
		c.w.violation("lease %d of %v was gone at %v, %v after the beginning of a request that was confirmed", h.id, h.ttl, h.goneAt,
			h.goneAt-h.sure)
	}
	idle, pieces := c.w.idle.between(h.sure, h.goneAt)
	idle -= time.Duration(pieces) * idleStep
	if h.expired && h.sure > 0 && idle > 0 && h.goneAt < h.sure+c.least(h.ttl)+idle {
		c.w.violation("lease %d of %v was gone at %v, %v after the beginning of a request that was confirmed; for %v of that "+
			"no process ran", h.id, h.ttl, h.goneAt, h.goneAt-h.sure, idle)
	}
}

// idleStep is what a stretch in which no process ran may take from a lease: two ticks of a slow clock.
const idleStep = 250 * time.Millisecond

// leaseSlack is what may come on top of a time to live once everything is healthy: an election, its survey, a round in the
// log, and a node's restart.
const leaseSlack = 8 * time.Second

// allGone tells whether no lease is left, in the log and in the tables of the nodes. It complains of those that are left
// for too long.
func (c *leaseChecker) allGone() bool {
	model := c.w.check.model
	for _, id := range sortedKeys(model.leases) {
		ttl := time.Duration(model.leases[id].seconds) * time.Second
		if c.w.queue.now > c.healed+c.most(ttl)+leaseSlack {
			c.w.violation("lease %d of %v still lives %v after everything was healed", id, ttl, c.w.queue.now-c.healed)
		}
	}
	if len(model.leases) > 0 {
		return false
	}
	for _, n := range c.w.nodes {
		if n.raft == nil || len(n.raft.Leases()) > 0 {
			return false
		}
	}
	return true
}
