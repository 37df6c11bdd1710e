package check

import (
	"maps"
	"slices"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// serializable holds serializable reads against the model at their revision, and the revisions that each member shows
// against the clock: it never goes back behind what it has answered.
func (c *checker) serializable() {
	reads, perMember := 0, map[string][]*history.Op{}
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		if op.Outcome != history.OK {
			continue
		}
		perMember[op.Member] = append(perMember[op.Member], op)
		if op.Kind != history.Stale {
			continue
		}
		reads++
		now, found, known := c.store.at(op.Key, op.Revision)
		switch {
		case c.store.known && op.Revision > c.h.Last:
			c.broken(Serializable, []*history.Op{op}, nil, "%s, and in the end the store was at revision %d", answered(op), c.h.Last)
		case known && !agrees(op, now, found):
			c.broken(Serializable, []*history.Op{op, c.maker(now)}, shown(now, now.Revision > 0), "%s, and at that revision there was %s",
				answered(op), there(now, found))
		}
	}
	for _, member := range slices.Sorted(maps.Keys(perMember)) {
		c.forward(perMember[member])
	}
	c.look(Serializable, "%s reads of %d members", count(reads), len(perMember))
}

// forward takes the answers of one member.
func (c *checker) forward(ops []*history.Op) {
	byBegin := slices.Clone(ops)
	slices.SortStableFunc(byBegin, func(a, b *history.Op) int { return compare(a.Begin, b.Begin) })
	slices.SortStableFunc(ops, func(a, b *history.Op) int { return compare(a.End, b.End) })
	ended := 0
	var newest *history.Op
	for _, op := range byBegin {
		for ; ended < len(ops) && ops[ended].End < op.Begin; ended++ {
			if newest == nil || ops[ended].Revision > newest.Revision {
				newest = ops[ended]
			}
		}
		if op.Kind == history.Stale && newest != nil && op.Revision < newest.Revision {
			c.broken(Serializable, []*history.Op{op, newest}, nil, "%s was older than what %s had shown before it began: %s", answered(op),
				op.Member, answered(newest))
		}
	}
}
