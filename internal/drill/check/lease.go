package check

import (
	"slices"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// slack is what may come on top of a time to live: an election, its survey of leases, and a round in the log.
const slack = 10 * time.Second

// leases holds what members said of leases, and what became of their keys, against what was promised. That a deletion is
// no lease's end, or one that came too soon, is for deletions.
func (c *checker) leases() {
	renewals := 0
	for i := range c.h.Leases {
		l := &c.h.Leases[i]
		renewals += len(l.Renewals)
		gone, said := c.gone(l)
		if !c.store.known {
			continue
		}
		if said && c.outlived(l, gone.End) {
			continue
		}
		c.late(l)
	}
	c.look(Leases, "%s leases with %s renewals", report.Whole(len(c.h.Leases)), report.Whole(renewals))
}

// gone is the first answer that there is no such lease. It must not come too soon.
func (c *checker) gone(l *history.Lease) (first history.Renewal, said bool) {
	for _, r := range l.Renewals {
		if r.Gone && (!said || r.End < first.End) {
			first, said = r, true
		}
	}
	if sure := confirmed(l); said && first.End < sure+least(l.TTL) {
		put, events := c.attached(l)
		c.broken(Leases, []*history.Op{put}, events,
			"%s said at %s that there is no lease %x of %s; a request for it of %s was confirmed: it lives until %s at least",
			first.Member, seconds(first.End), l.ID, seconds(l.TTL), seconds(sure), seconds(sure+least(l.TTL)))
	}
	return first, said
}

// outlived finds keys of a lease that were there after a member had said that it is gone.
func (c *checker) outlived(l *history.Lease, gone time.Duration) bool {
	p, ok := c.there(l)
	if !ok || p.at <= gone {
		return false
	}
	put, events := c.attached(l)
	c.broken(Leases, []*history.Op{put, p.op}, events,
		"a member said at %s that there is no lease %x, and the store still had its keys when this began: %s", seconds(gone), l.ID,
		answered(p.op))
	return true
}

// there is the latest proof that keys of a lease were there: an answer of before they went, or, of keys that never did, of
// before the end of the store's history.
func (c *checker) there(l *history.Lease) (proof, bool) {
	if _, ok := c.kept[l.ID]; ok {
		return c.told.notYet(c.h.Last + 1)
	}
	return c.told.notYet(c.ends[l.ID])
}

// late finds a lease that nobody renewed, and that kept its keys for too long.
func (c *checker) late(l *history.Lease) {
	due := c.due(l)
	if p, ok := c.there(l); ok && p.at > due {
		put, events := c.attached(l)
		c.broken(Leases, []*history.Op{put, p.op}, events,
			"lease %x of %s had to end by %s, and the store still had its keys when this began: %s", l.ID, seconds(l.TTL), seconds(due),
			answered(p.op))
	}
}

// due is when a lease has to be over: its time to live, and the slack, after the last try to renew it; or after a fault
// that came before, because new leaders give leases their whole time again.
func (c *checker) due(l *history.Lease) time.Duration {
	last := l.Granted
	for _, r := range l.Renewals {
		if !r.Gone {
			last = max(last, r.End)
		}
	}
	faults := slices.Clone(c.h.Faults)
	slices.SortStableFunc(faults, func(a, b history.Fault) int { return compare(a.At, b.At) })
	for _, f := range faults {
		if f.At > last+l.TTL+slack {
			break
		}
		if f.Until == 0 {
			return forever
		}
		last = max(last, f.Until)
	}
	return last + l.TTL + slack
}

// attached is the put that attached a lease's last key, with its change and its deletion.
func (c *checker) attached(l *history.Lease) (*history.Op, []history.Event) {
	e, ok := c.kept[l.ID]
	if !ok {
		for i := c.store.from(c.ends[l.ID]); i < len(c.store.changes) && c.store.changes[i].Revision == c.ends[l.ID]; i++ {
			gone := c.store.changes[i]
			if old, found, _ := c.store.at(gone.Key, gone.Revision-1); found && old.Lease == l.ID {
				return c.maker(old), []history.Event{old, gone}
			}
		}
		return nil, nil
	}
	return c.maker(e), []history.Event{e}
}

// attachments follows which keys have which lease. The end of a lease is the last revision at which one of its keys was
// deleted, if none is attached later and none remains: nothing can be attached to a lease that has ended.
func (c *checker) attachments() {
	attached := map[string]history.Event{}
	keys := map[int64]int{}
	c.ends, c.kept = map[int64]int64{}, map[int64]history.Event{}
	for _, e := range c.store.changes {
		if old := attached[e.Key]; old.Lease != 0 {
			keys[old.Lease]--
			if e.Deleted && keys[old.Lease] == 0 {
				c.ends[old.Lease] = e.Revision
			}
			delete(attached, e.Key)
		}
		if e.Lease != 0 && !e.Deleted {
			attached[e.Key] = e
			keys[e.Lease]++
			delete(c.ends, e.Lease)
		}
	}
	for _, e := range attached {
		if old, ok := c.kept[e.Lease]; !ok || e.Revision < old.Revision {
			c.kept[e.Lease] = e
		}
	}
}

// early tells whether a lease is proven to have ended too soon, if it ended at a revision.
func (c *checker) early(id, revision int64) bool {
	l := c.byLease[id]
	gone, ok := c.told.first(revision)
	return l == nil || ok && gone.at < confirmed(l)+least(l.TTL)
}

// confirmed is the moment from which a lease's time to live was promised last: the beginning of the latest request, grant
// or renewal, that was confirmed. The server may have counted from any moment until the answer, but from no earlier one.
func confirmed(l *history.Lease) time.Duration {
	sure := l.Asked
	for _, r := range l.Renewals {
		if r.Confirmed {
			sure = max(sure, r.Begin)
		}
	}
	return sure
}

// least is how long a time to live lasts by our clock, when the member's is as much faster as two clocks may be that are
// slewed by NTP, each by 500 ppm at most.
func least(ttl time.Duration) time.Duration { return ttl - ttl/1000 }
