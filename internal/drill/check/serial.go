package check

import (
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// serializable holds serializable reads against the model at their revision, and the revisions that each member shows
// against the clock: it never goes back behind what it has answered. A process that starts anew may: it knows what its disk
// holds, and what was committed after the last entry there only others can tell, whom such a read does not ask.
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
		for _, life := range c.lives(member, perMember[member]) {
			c.forward(life)
		}
	}
	c.look(Serializable, "%s reads of %d members", report.Whole(reads), len(perMember))
}

// lives parts a member's answers by the process that gave them. What began before a start and was answered after it may be of
// the one or the other, and is in neither.
func (c *checker) lives(member string, ops []*history.Op) [][]*history.Op {
	var starts []time.Duration
	for _, s := range c.h.Starts {
		if s.Member == member {
			starts = append(starts, s.At)
		}
	}
	slices.Sort(starts)
	lives := make([][]*history.Op, len(starts)+1)
	after := func(at time.Duration) int {
		return sort.Search(len(starts), func(i int) bool { return starts[i] > at })
	}
	for _, op := range ops {
		if life := after(op.Begin); life == after(op.End) {
			lives[life] = append(lives[life], op)
		}
	}
	return lives
}

// forward takes the answers of one process.
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
