package mvcc

import (
	"math"
	"slices"
	"sort"
	"unsafe"

	"github.com/tidwall/btree"

	"github.com/quorumkv/quorumkv/internal/invariant"
)

const (
	maxSub       = math.MaxUint32
	tombstoneBit = 1 << 31
	maxRowBytes  = tombstoneBit - 1

	// degree makes small nodes: nearly every put copies the leaf that it changes, once per view.
	degree = 16
)

// row is what the index knows of one stored revision of a key, in 16 bytes: millions of them are held.
type row struct {
	main int64
	sub  uint32
	size uint32 // of the row's key and stored value; the top bit marks a tombstone
}

func newRow(r Revision, size int, tombstone bool) row {
	invariant.Check(r.Sub <= maxSub && size <= maxRowBytes, "row %v of %d bytes does not fit the index", r, size)
	w := row{main: r.Main, sub: uint32(r.Sub), size: uint32(size)}
	if tombstone {
		w.size |= tombstoneBit
	}
	return w
}

func (w row) revision() Revision { return Revision{Main: w.main, Sub: int64(w.sub)} }
func (w row) tombstone() bool    { return w.size&tombstoneBit != 0 }
func (w row) bytes() int         { return int(w.size &^ tombstoneBit) }

// item is the history of one key. A published item is never modified: a change replaces it. Its rows may share memory
// with those of its successor, which only writes behind their end.
type item struct {
	key string
	// created and version belong to the newest pair; both are 0 when the key is deleted.
	created, version int64
	// lease is that of the newest pair; 0 when it has none or the key is deleted.
	lease int64
	// rows grow by revision and are never empty.
	rows []row
}

// at returns the row that holds the key's pair at a revision, if it has one then.
func (it *item) at(rev int64) (row, bool) {
	n := len(it.rows)
	if it.rows[n-1].main > rev { // mostly the newest is wanted
		n = sort.Search(n, func(i int) bool { return it.rows[i].main > rev })
		if n == 0 {
			return row{}, false
		}
	}
	w := it.rows[n-1]
	return w, !w.tombstone()
}

// buried returns the successor of it whose newest row is a tombstone.
func (it *item) buried(w row) *item { return &item{key: it.key, rows: append(it.rows, w)} }

// behead returns the successor of it without its oldest row. The memory of removed rows is let go whenever the number
// of those left is a power of two, so at most half is wasted and the copying is paid for by the removals.
func (it *item) behead() *item {
	rest := it.rows[1:]
	if n := len(rest); n&(n-1) == 0 {
		rest = slices.Clone(rest)
	}
	return &item{key: it.key, created: it.created, version: it.version, lease: it.lease, rows: rest}
}

// index finds the rows of a key. Keys that have a pair now are held apart from keys that are only history, so that
// reads of the newest state pass no deleted keys and can count by position. The two never hold the same key.
type index struct {
	live, dead *btree.Map[string, *item]
}

func newIndex() index {
	return index{live: btree.NewMap[string, *item](degree), dead: btree.NewMap[string, *item](degree)}
}

// copy returns an index that keeps this content while x goes on changing. Only the owner of x may call it.
func (x index) copy() index { return index{live: x.live.Copy(), dead: x.dead.Copy()} }

// get returns the history of a key, nil if there is none.
func (x index) get(key string) *item {
	if it, ok := x.live.Get(key); ok {
		return it
	}
	it, _ := x.dead.Get(key)
	return it
}

// put makes it the history of a key that gets a pair now, and returns what it replaces, or nil. The caller completes it
// afterwards: the way down the tree is the larger part of a put, and this needs but one.
func (x index) put(key string, it *item) (was *item) {
	was, alive := x.live.Set(key, it)
	if !alive {
		if was, _ = x.dead.Get(key); was != nil {
			x.dead.Delete(key)
		}
	}
	return was
}

// set replaces or adds a key's history, in the tree where it belongs. was is the history before, or nil.
func (x index) set(was, it *item) {
	to := x.live
	if it.version == 0 {
		to = x.dead
	}
	if was != nil && (was.version == 0) != (it.version == 0) {
		x.remove(was)
	}
	to.Set(it.key, it)
}

func (x index) remove(it *item) {
	if it.version == 0 {
		x.dead.Delete(it.key)
	} else {
		x.live.Delete(it.key)
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
func (x index) ascendLive(s span, f func(it *item) bool) {
	x.live.Ascend(s.from, func(key string, it *item) bool { return !s.ends(key) && f(it) })
}

// ascend calls f for all keys of the span that have any history, in order, until f returns false.
func (x index) ascend(s span, f func(it *item) bool) {
	dead := x.dead.Iter()
	more := dead.Seek(s.from)
	stopped := false
	visit := func(it *item) bool {
		stopped = s.ends(it.key) || !f(it)
		return !stopped
	}
	x.live.Ascend(s.from, func(key string, it *item) bool {
		for ; more && dead.Key() < key; more = dead.Next() {
			if !visit(dead.Value()) {
				return false
			}
		}
		return visit(it)
	})
	for ; more && !stopped; more = dead.Next() {
		visit(dead.Value())
	}
}

// countLive returns the number of keys in the span that have a pair now, in logarithmic time.
func (x index) countLive(s span) int {
	end := x.live.Len()
	if !s.unbounded {
		end = x.rankLive(s.to)
	}
	return max(0, end-x.rankLive(s.from))
}

// rankLive is the number of live keys below key.
func (x index) rankLive(key string) int {
	return sort.Search(x.live.Len(), func(i int) bool {
		k, _, _ := x.live.GetAt(i)
		return k >= key
	})
}

// alias gives the bytes of b as a string without copying, for use while b does not change.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
