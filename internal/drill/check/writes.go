package check

import (
	"slices"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// writes holds the store's changes and the requests that write against each other, in both directions. Deletions, which
// have no value to be known by, are traced back by deletions.
func (c *checker) writes() {
	c.unique()
	if !c.store.known {
		c.look(NoLostWrite, "nothing: the store's history was not read")
		c.look(NoInventedWrite, "nothing: the store's history was not read")
		return
	}
	for i := range c.store.changes {
		if !c.store.changes[i].Deleted {
			c.origin(i)
		}
	}
	c.single()
	acknowledged, unknown, done := 0, 0, 0
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		_, took := c.took[op]
		switch {
		case changes(op):
			acknowledged++
			c.survived(op)
		case op.Outcome == history.Unknown && op.Kind.Writes():
			unknown++
			if took {
				done++
			}
		}
		if took && op.Kind == history.Swap {
			c.compared(op)
		}
	}
	c.look(NoLostWrite, "%s acknowledged writes, and what %d members hold in the end", report.Whole(acknowledged), len(c.h.Dumps))
	c.look(NoInventedWrite, "%s changes of the store, of which %s are writes that nobody was told about",
		report.Whole(len(c.store.changes)), report.Whole(done))
}

// origin finds out who made a change with a value.
func (c *checker) origin(i int) {
	e := c.store.changes[i]
	op := c.writers[e.Value]
	at := []history.Event{e}
	if op == nil || op.Key != e.Key {
		c.broken(NoInventedWrite, []*history.Op{op}, at, "the store's history has the %s, which nobody asked for", change(e))
		return
	}
	if first, twice := c.took[op]; twice {
		if p := c.store.place(op.Key, first); p >= 0 {
			at = append(at, c.store.changes[p])
		}
		c.broken(NoInventedWrite, []*history.Op{op}, at, "%s took effect twice, at revision %d and at %d", request(op), first,
			e.Revision)
		return
	}
	c.took[op], c.changed[i] = e.Revision, op
	switch {
	case op.Outcome == history.Refused:
		c.broken(NoInventedWrite, []*history.Op{op}, at, "%s was refused (%s), and took effect at revision %d", request(op),
			op.Error, e.Revision)
	case op.Outcome == history.OK && !changes(op):
		c.broken(NoInventedWrite, []*history.Op{op}, at, "%s was answered at revision %d as not done, and took effect at revision %d",
			request(op), op.Revision, e.Revision)
	case op.Lease != e.Lease:
		c.broken(Linearizable, []*history.Op{op}, at, "%s has lease %x in the store, it was put with lease %x", request(op), e.Lease,
			op.Lease)
	}
}

// survived finds an acknowledged write in the store's history.
func (c *checker) survived(op *history.Op) {
	s := c.store
	if s.compacted && op.Revision <= s.base {
		return
	}
	var there []history.Event
	p := s.place(op.Key, op.Revision)
	if p >= 0 {
		there = s.changes[p : p+1]
	}
	if op.Kind == history.Delete {
		if p < 0 || !there[0].Deleted {
			c.broken(NoLostWrite, []*history.Op{op}, there, "%s, and the store's history has no deletion of the key there", answered(op))
		} else if c.changed[p] == nil {
			c.changed[p], c.took[op] = op, op.Revision
		}
		return
	}
	switch took, ok := c.took[op]; {
	case !ok:
		c.broken(NoLostWrite, []*history.Op{op}, there, "%s, and the store's history has no such change", answered(op))
	case took != op.Revision:
		c.broken(Linearizable, []*history.Op{op}, []history.Event{s.changes[s.place(op.Key, took)]},
			"%s, and in the store's history it took effect at revision %d", answered(op), took)
	}
}

// compared holds a swap that took effect against what was there before.
func (c *checker) compared(op *history.Op) {
	took := c.took[op]
	old, found, known := c.store.at(op.Key, took-1)
	mod := int64(0)
	if found {
		mod = old.Revision
	}
	if known && mod != op.Expected {
		c.broken(Linearizable, []*history.Op{op, c.maker(old)}, shown(old, found),
			"%s took effect at revision %d, when the key's revision was %d", request(op), took, mod)
	}
}

// unique finds two writes that were acknowledged at one revision.
func (c *checker) unique() {
	var ops []*history.Op
	for i := range c.h.Ops {
		if changes(&c.h.Ops[i]) {
			ops = append(ops, &c.h.Ops[i])
		}
	}
	slices.SortStableFunc(ops, func(a, b *history.Op) int { return compare(a.Revision, b.Revision) })
	for i := 1; i < len(ops); i++ {
		if ops[i].Revision == ops[i-1].Revision {
			c.broken(Linearizable, []*history.Op{ops[i-1], ops[i]}, nil, "%s, and %s: a revision is the work of one request",
				answered(ops[i-1]), answered(ops[i]))
		}
	}
}

// single finds a value that shares its revision: only the end of a lease changes several keys at once, and deletes them.
func (c *checker) single() {
	all := c.store.changes
	for i := 1; i < len(all); i++ {
		if all[i].Revision == all[i-1].Revision && !(all[i].Deleted && all[i-1].Deleted) {
			c.broken(Linearizable, []*history.Op{c.changed[i-1], c.changed[i]}, all[i-1:i+1],
				"revision %d holds the %s and the %s: a revision is the work of one request", all[i].Revision, change(all[i-1]),
				change(all[i]))
		}
	}
}

// maker is the request that made a change, nil if none is known.
func (c *checker) maker(e history.Event) *history.Op {
	if p := c.store.place(e.Key, e.Revision); p >= 0 {
		return c.changed[p]
	}
	return nil
}

// shown is what a violation shows of what was there.
func shown(e history.Event, found bool) []history.Event {
	if !found {
		return nil
	}
	return []history.Event{e}
}
