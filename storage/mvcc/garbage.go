package mvcc

import "sort"

const garbageChunk = 1024

// garbage stands for one row that a compaction will remove: the oldest row of the key when the entry's turn comes.
type garbage struct {
	// at is the lowest compact revision that nobody needs the row for: the revision that superseded it or, for a
	// tombstone, the one after its own.
	at  int64
	key string
	// total is the size of all rows that ever passed this queue, up to and including this one.
	total int64
}

// garbageQueue lists rows in the order in which compactions will want them, because at never falls from one entry to
// the next. A compaction therefore costs what it removes, not what the store holds. Chunks keep every step bounded.
type garbageQueue struct {
	chunks [][]garbage // none empty
	head   int         // in chunks[0]
	pushed int64       // total of the newest entry
	popped int64       // total of the last entry taken
}

func (q *garbageQueue) push(at int64, key string, size int) {
	q.pushed += int64(size)
	last := len(q.chunks) - 1
	if last < 0 || len(q.chunks[last]) == garbageChunk {
		q.chunks = append(q.chunks, make([]garbage, 0, garbageChunk))
		last++
	}
	q.chunks[last] = append(q.chunks[last], garbage{at: at, key: key, total: q.pushed})
}

// hasUpTo reports whether a compaction at rev has anything to remove.
func (q *garbageQueue) hasUpTo(rev int64) bool {
	return len(q.chunks) > 0 && q.chunks[0][q.head].at <= rev
}

// pop takes the oldest entry.
func (q *garbageQueue) pop() garbage {
	g := q.chunks[0][q.head]
	q.popped = g.total
	if q.head++; q.head == len(q.chunks[0]) {
		q.chunks[0] = nil
		q.chunks, q.head = q.chunks[1:], 0
	}
	return g
}

// totalAt is the size of all rows, taken and waiting, that a compaction at rev removes.
func (q *garbageQueue) totalAt(rev int64) int64 {
	chunk, n := q.upTo(rev)
	if n == 0 {
		return q.popped
	}
	return q.chunks[chunk][n-1].total
}

// waitingAt is the number of rows that wait for a compaction at rev.
func (q *garbageQueue) waitingAt(rev int64) int {
	chunk, n := q.upTo(rev)
	if n == 0 {
		return 0
	}
	return chunk*garbageChunk + n - q.head // all chunks before that one are full
}

// upTo returns the last chunk with a row that a compaction at rev removes, and how many entries at its start are such; 0 of the
// first if there are none.
func (q *garbageQueue) upTo(rev int64) (chunk, n int) {
	if !q.hasUpTo(rev) {
		return 0, 0
	}
	chunk = sort.Search(len(q.chunks), func(i int) bool { return i > 0 && q.chunks[i][0].at > rev }) - 1
	entries := q.chunks[chunk]
	return chunk, sort.Search(len(entries), func(i int) bool { return entries[i].at > rev })
}
