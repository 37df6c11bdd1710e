package mvcc

import (
	"cmp"
	"slices"

	"github.com/quorumkv/quorumkv/internal/invariant"
)

// condemnedRows is how many rows are put in order together: 2 MiB of them.
const condemnedRows = 64 << 10

// condemned is garbage whose compaction has begun. The queue has it in the order in which it was superseded, and then the next
// row is anywhere in the file, where each page that loses a row is written anew. Here a large number of rows is gathered and
// then taken in the order of the file: the next one is mostly in the same page.
type condemned struct {
	gathered []condemnedRow
	ordered  []condemnedRow // those gathered before
	taken    int            // of those in order
}

// condemnedRow stands for one row of a key, the oldest one when its turn comes. Its place in the file is only where it is
// expected.
type condemnedRow struct {
	garbage
	revision int64
}

// add gathers a row of the key that it belongs to.
func (c *condemned) add(g garbage, it *item) {
	invariant.Check(it != nil, "garbage of unknown key %q", g.key)
	c.gathered = append(c.gathered, condemnedRow{garbage: g, revision: it.newestBefore(g.at).main})
}

// full: what is gathered waits for its turn.
func (c *condemned) full() bool { return len(c.gathered) >= condemnedRows }

// rows is how many were not taken yet.
func (c *condemned) rows() int { return len(c.gathered) + len(c.ordered) - c.taken }

// take takes up to max rows, and none while there are others to be gathered with them; all says that there are not.
func (c *condemned) take(max int, all bool) []condemnedRow {
	if c.taken == len(c.ordered) && (all || c.full()) {
		slices.SortFunc(c.gathered, func(a, b condemnedRow) int {
			return cmp.Or(cmp.Compare(a.revision, b.revision), cmp.Compare(a.total, b.total))
		})
		c.gathered, c.ordered, c.taken = c.ordered[:0], c.gathered, 0
	}
	rows := c.ordered[c.taken:]
	rows = rows[:min(max, len(rows))]
	c.taken += len(rows)
	return rows
}
