package check

import (
	"cmp"
	"maps"
	"slices"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// deletions traces every deletion back: to a request that was acknowledged at its revision, to the end of a lease, or to a
// request of which nobody knows what became of it. One of the last kind explains one deletion, at a revision beyond all
// that anybody had been told of when the request began.
func (c *checker) deletions() {
	if !c.store.known {
		return
	}
	unknown := map[string][]*history.Op{}
	for i := range c.h.Ops {
		if op := &c.h.Ops[i]; op.Kind == history.Delete && op.Outcome == history.Unknown {
			unknown[op.Key] = append(unknown[op.Key], op)
		}
	}
	c.attachments()
	open := map[string][]int{} // places of deletions that need one of them
	for i, e := range c.store.changes {
		if !e.Deleted || c.changed[i] != nil {
			continue
		}
		before, found, known := c.store.at(e.Key, e.Revision-1)
		if known && !found {
			continue // of nothing: that is a violation already
		}
		if !known || before.Lease != 0 && c.ends[before.Lease] == e.Revision && !c.early(before.Lease, e.Revision) {
			continue
		}
		open[e.Key] = append(open[e.Key], i)
	}
	for _, key := range slices.Sorted(maps.Keys(open)) {
		c.explain(open[key], unknown[key])
	}
}

// explain gives each deletion of a key the request that could make it first, or complains. A request that can make one
// deletion can make every later one, so this finds an explanation whenever there is one.
func (c *checker) explain(places []int, unknown []*history.Op) {
	slices.SortStableFunc(unknown, func(a, b *history.Op) int { return cmp.Compare(a.Begin, b.Begin) })
	next := 0
	for _, i := range places {
		e := c.store.changes[i]
		if next < len(unknown) && c.told.by(unknown[next].Begin).revision < e.Revision {
			c.changed[i], c.took[unknown[next]] = unknown[next], e.Revision
			next++
			continue
		}
		before, _, _ := c.store.at(e.Key, e.Revision-1)
		c.unexplained(e, before)
	}
}

func (c *checker) unexplained(e, before history.Event) {
	l := c.byLease[before.Lease]
	if l == nil {
		c.broken(NoInventedWrite, append(c.refused(e), c.maker(before)), []history.Event{before, e},
			"the store's history has the %s, and no request that was acknowledged, or may have been done, explains it", change(e))
		return
	}
	if c.ends[l.ID] != e.Revision {
		c.broken(Leases, []*history.Op{c.maker(before)}, []history.Event{before, e},
			"the %s is no request's, and its lease %x lived on: later changes have it", change(e), l.ID)
		return
	}
	gone, _ := c.told.first(e.Revision)
	sure := confirmed(l)
	c.broken(Leases, []*history.Op{c.maker(before), gone.op}, []history.Event{before, e},
		"lease %x of %s ended at revision %d, by %s at the latest (%s); it was last renewed by a request of %s that was confirmed: "+
			"it lives until %s at least", l.ID, seconds(l.TTL), e.Revision, seconds(gone.at), gone, seconds(sure),
		seconds(sure+least(l.TTL)))
}

// refused finds requests that were refused about when a deletion happened: one of them may have made it.
func (c *checker) refused(e history.Event) []*history.Op {
	var ops []*history.Op
	gone, seen := c.told.first(e.Revision)
	earlier, _ := c.told.notYet(e.Revision)
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		if op.Kind == history.Delete && op.Key == e.Key && op.Outcome == history.Refused && len(ops) < most-1 &&
			op.End >= earlier.at && (!seen || op.Begin <= gone.at) {
			ops = append(ops, op)
		}
	}
	return ops
}
