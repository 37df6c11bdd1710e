package mvcc

import (
	"math"
	"slices"
	"sort"
	"unsafe"

	"github.com/quorumkv/quorumkv/internal/invariant"
)

const (
	maxSub       = math.MaxUint32
	tombstoneBit = 1 << 31
	maxRowBytes  = tombstoneBit - 1
)

// row is what the index knows of one stored revision of a key, in 16 bytes: millions of them are held.
type row struct {
	main int64
	sub  uint32
	size uint32 // of the row's key and stored value; the top bit marks a tombstone
}

func newRow(r Revision, size int, tombstone bool) row {
	if r.Sub > maxSub || size > maxRowBytes { // asked here: what is handed to Check is allocated, once per change
		invariant.Check(false, "row %v of %d bytes does not fit the index", r, size)
	}
	w := row{main: r.Main, sub: uint32(r.Sub), size: uint32(size)}
	if tombstone {
		w.size |= tombstoneBit
	}
	return w
}

func (w row) revision() Revision { return Revision{Main: w.main, Sub: int64(w.sub)} }
func (w row) tombstone() bool    { return w.size&tombstoneBit != 0 }
func (w row) bytes() int         { return int(w.size &^ tombstoneBit) }

// item is the history of one key. A published item is never modified: a change replaces it, and whoever reads an older state may
// find the new one, which has all rows of that state. Its rows may share memory with those of its successor, which only writes
// behind their end. It has 48 bytes, and its key is in the tree only: millions are held.
type item struct {
	newest row
	// past are the rows before the newest. They grow by revision; nil when there are none, as for most keys.
	past *[]row
	// created and version belong to the newest pair; both are 0 when the key is deleted.
	created, version int64
	// lease is that of the newest pair; 0 when it has none or the key is deleted.
	lease int64
}

// before returns the rows before the newest.
func (it *item) before() []row {
	if it.past == nil {
		return nil
	}
	return *it.past
}

// all returns all rows as the past of a successor.
func (it *item) all() *[]row {
	rows := append(it.before(), it.newest)
	return &rows
}

// oldest returns the row that a compaction takes first.
func (it *item) oldest() row {
	if it.past == nil {
		return it.newest
	}
	return (*it.past)[0]
}

// newestBefore returns the last row before a revision, or the oldest of all.
func (it *item) newestBefore(rev int64) row {
	if it.past == nil || it.newest.main < rev {
		return it.newest
	}
	rows := *it.past
	return rows[max(0, sort.Search(len(rows), func(i int) bool { return rows[i].main >= rev })-1)]
}

// at returns the row that holds the key's pair at a revision, if it has one then.
func (it *item) at(rev int64) (row, bool) {
	w := it.newest
	if w.main > rev { // mostly the newest is wanted
		rows := it.before()
		n := sort.Search(len(rows), func(i int) bool { return rows[i].main > rev })
		if n == 0 {
			return row{}, false
		}
		w = rows[n-1]
	}
	return w, !w.tombstone()
}

// buried returns the successor of it whose newest row is a tombstone.
func (it *item) buried(w row) *item { return &item{newest: w, past: it.all()} }

// behead returns the successor of it without its oldest row, which is not its only one. The memory of removed rows is let
// go whenever the number of those left is a power of two, so at most half is wasted and the copying is paid for by the
// removals.
func (it *item) behead() *item {
	next := *it
	next.past = nil
	if rest := it.before()[1:]; len(rest) > 0 {
		if n := len(rest); n&(n-1) == 0 {
			rest = slices.Clone(rest)
		}
		next.past = &rest
	}
	return &next
}

// index finds the rows of a key. Keys that have a pair now are held apart from keys that are only history, so that
// reads of the newest state pass no deleted keys and can count by position. The two never hold the same key.
type index struct {
	live, dead tree
}

// copy returns an index that keeps these keys, and all rows that they have now, while x goes on changing: later ones may be seen
// in it as well. Only the owner of x may call it.
func (x *index) copy() index { return index{live: x.live.copy(), dead: x.dead.copy()} }

// get returns the entry of a key, whose history is nil if there is none.
func (x *index) get(key string) entry {
	if e := x.live.get(key); e.it != nil {
		return e
	}
	return x.dead.get(key)
}

// put gives a key the history that next returns, which ends in a pair. next is told the entry there is, with the index's own copy
// of the key; its history is nil if there is none. What next returns must hold all rows of that.
func (x *index) put(key string, next func(was entry) *item) {
	dead := false
	x.live.put(key, false, func(was entry) *item {
		if was.it == nil && x.dead.len() > 0 {
			was.it = x.dead.get(key).it
			dead = was.it != nil
		}
		return next(was)
	})
	if dead {
		x.dead.remove(key)
	}
}

// bury makes it, which ends in a tombstone, the history of a key that has a pair now. key is the index's own copy.
func (x *index) bury(key string, it *item) {
	x.live.remove(key)
	x.putDead(key, it)
}

// putDead adds a key that is only history, and keeps it.
func (x *index) putDead(key string, it *item) {
	x.dead.put(key, true, func(entry) *item { return it })
}

// replace gives a key a history without its oldest row. Views keep the one they have.
func (x *index) replace(key string, it *item) {
	if it.version == 0 {
		x.dead.replace(key, it)
	} else {
		x.live.replace(key, it)
	}
}

// span is a range of keys.
type span struct {
	from, to  string
	unbounded bool // no key is too large
}

func newSpan(key, end []byte) span {
	if len(end) == 1 && end[0] == 0 {
		return span{from: alias(key), unbounded: true}
	}
	return span{from: alias(key), to: alias(end)}
}

func (s span) ends(key string) bool { return !s.unbounded && key >= s.to }

// ascendLive calls f for all keys of the span that have a pair now, in order, until f returns false.
func (x *index) ascendLive(s span, f func(e entry) bool) {
	for c := x.live.seek(s.from); c.more(); c.next() {
		if e := c.entry(); s.ends(e.key) || !f(e) {
			return
		}
	}
}

// ascend calls f for all keys of the span that have any history, in order, until f returns false.
func (x *index) ascend(s span, f func(e entry) bool) {
	live, dead := x.live.seek(s.from), x.dead.seek(s.from)
	for live.more() || dead.more() {
		c := &live
		if !live.more() || dead.more() && dead.entry().key < live.entry().key {
			c = &dead
		}
		if e := c.entry(); s.ends(e.key) || !f(e) {
			return
		}
		c.next()
	}
}

// countLive returns the number of keys in the span that have a pair now, in logarithmic time.
func (x *index) countLive(s span) int {
	end := x.live.len()
	if !s.unbounded {
		end = x.live.rank(s.to)
	}
	return max(0, end-x.live.rank(s.from))
}

// alias gives the bytes of b as a string without copying, for use while b does not change.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
