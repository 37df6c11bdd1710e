package check

import (
	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// order holds the order of the revisions against the clock: what began later than somebody had been told of a revision was
// done at that revision or behind it, and behind it if it changed the store. Reads that went back are told apart by reads,
// which says what they missed.
func (c *checker) order() {
	answers := 0
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		revision, took := op.Revision, changes(op)
		switch {
		case linearizable(op):
			answers++
			c.beyond(op)
			if op.Kind == history.Get {
				continue
			}
		case op.Outcome == history.Unknown && op.Kind.Writes():
			if revision, took = c.took[op]; !took {
				continue
			}
		default:
			continue
		}
		known := c.told.by(op.Begin)
		switch {
		case known.revision > revision:
			c.broken(Linearizable, []*history.Op{op, known.op}, known.events(),
				"%s was done at revision %d, and a higher one was known before it began: %s", request(op), revision, known)
		case known.revision == revision && took:
			c.broken(Linearizable, []*history.Op{op, known.op}, known.events(),
				"%s made revision %d, which was known before it began: %s", request(op), revision, known)
		}
	}
	c.look(Linearizable, "%s answers, each in the order of revisions and of time", report.Whole(answers))
}

// beyond finds an answer with a revision that the store had not reached after the last of them.
func (c *checker) beyond(op *history.Op) {
	if c.store.known && op.Revision > c.h.Last && !changes(op) { // a write is missing in the history, too: survived says so
		c.broken(Linearizable, []*history.Op{op}, nil, "%s, and in the end the store was at revision %d", answered(op), c.h.Last)
	}
}
