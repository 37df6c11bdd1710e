package check

import (
	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// reads holds what was seen against what there was: by gets, and by swaps and deletes that changed nothing.
func (c *checker) reads() {
	gets := 0
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		switch {
		case !linearizable(op) || changes(op):
		case op.Kind == history.Get:
			gets++
			c.get(op)
		case c.store.known && op.Revision <= c.h.Last:
			c.unchanged(op)
		}
	}
	c.look(NoStaleRead, "%s linearizable reads", report.Whole(gets))
}

// get judges a linearizable read. One that does not fit is stale if it missed a change that was known when it began.
func (c *checker) get(op *history.Op) {
	known := c.told.by(op.Begin)
	now, found, sure := c.store.at(op.Key, op.Revision)
	sure = sure && op.Revision <= c.h.Last
	back, fits := op.Revision < known.revision, !sure || agrees(op, now, found)
	if !back && fits {
		return
	}
	if missed, maker, ok := c.missed(op, known.revision); ok && older(op, missed) {
		witness := known
		if maker != nil && maker.Outcome == history.OK && maker.End < op.Begin {
			witness = proof{op: maker, at: maker.End, revision: maker.Revision}
		} else if p, ok := c.told.first(missed.Revision); ok {
			witness = p
		}
		c.broken(NoStaleRead, []*history.Op{op, maker, witness.op}, []history.Event{missed},
			"%s missed the %s, which was known before the read began: %s", answered(op), change(missed), witness)
		return
	}
	if !fits {
		c.unlike(op, now, found)
		return
	}
	c.broken(Linearizable, []*history.Op{op, known.op}, known.events(), "%s, and a higher revision was known before it began: %s",
		answered(op), known)
}

// missed is the newest change of a read's key up to a revision, and its maker. Without the store's history it is the newest
// that was acknowledged.
func (c *checker) missed(op *history.Op, known int64) (history.Event, *history.Op, bool) {
	if !c.store.known {
		w := c.acknowledged(op.Key, known)
		if w == nil {
			return history.Event{}, nil, false
		}
		e := history.Event{Revision: w.Revision, Key: w.Key, Value: w.Value, Deleted: w.Kind == history.Delete}
		return e, w, w.Revision > op.Revision
	}
	e, _, ok := c.store.at(op.Key, known)
	if !ok || e.Revision == 0 || e.Revision <= op.Revision && agrees(op, e, !e.Deleted) {
		return e, nil, false
	}
	return e, c.maker(e), true
}

// acknowledged is the newest write of a key that was acknowledged up to a revision.
func (c *checker) acknowledged(key string, upTo int64) *history.Op {
	var newest *history.Op
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		if changes(op) && op.Key == key && op.Revision <= upTo && (newest == nil || op.Revision > newest.Revision) {
			newest = op
		}
	}
	return newest
}

// older tells whether what a read saw is from before a change.
func older(op *history.Op, e history.Event) bool {
	return op.Revision < e.Revision || op.ModRevision != 0 && op.ModRevision < e.Revision || op.ModRevision == 0 && !e.Deleted
}

// unchanged judges a swap or delete that was answered as having changed nothing.
func (c *checker) unchanged(op *history.Op) {
	now, found, known := c.store.at(op.Key, op.Revision)
	if !known {
		return
	}
	mod := int64(0)
	if found {
		mod = now.Revision
	}
	switch {
	case op.Kind == history.Delete && found:
		c.unlike(op, now, found)
	case op.Kind == history.Swap && mod == op.Expected:
		c.broken(Linearizable, []*history.Op{op, c.maker(now)}, shown(now, found),
			"%s, and the key was as the compare wanted it: there was %s", answered(op), there(now, found))
	case op.Kind == history.Swap && !agrees(op, now, found):
		c.unlike(op, now, found)
	}
}

// unlike notes a request that saw something else than what there was.
func (c *checker) unlike(op *history.Op, now history.Event, found bool) {
	c.broken(Linearizable, []*history.Op{op, c.maker(now)}, shown(now, now.Revision > 0), "%s, and there was %s", answered(op),
		there(now, found))
}

// agrees tells whether a request saw what there was.
func agrees(op *history.Op, now history.Event, found bool) bool {
	if !found {
		return op.ModRevision == 0
	}
	return op.ModRevision == now.Revision && op.Found == now.Value
}

// there says what there was.
func there(now history.Event, found bool) string {
	switch {
	case found:
		return now.Value + " of the " + change(now)
	case now.Revision > 0:
		return "no key, since the " + change(now)
	}
	return "no key"
}
