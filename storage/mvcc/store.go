package mvcc

import (
	"slices"

	"github.com/quorumkv/quorumkv/internal/invariant"
	"github.com/quorumkv/quorumkv/storage/backend"
)

// Recent says how much of the newest history stays in memory once it is in bbolt, so that whoever follows the store
// closely never reads the file. Twice as much may be there, and what is not flushed yet. A zero field means its default,
// a negative one nothing.
type Recent struct {
	// Rows is the number of changes. Default 16,384.
	Rows int
	// Bytes is their size as stored. Default 16 MiB.
	Bytes int
}

const (
	defaultRecentRows  = 16 << 10
	defaultRecentBytes = 16 << 20
)

func (r Recent) withDefaults() Recent {
	if r.Rows == 0 {
		r.Rows = defaultRecentRows
	}
	if r.Bytes == 0 {
		r.Bytes = defaultRecentBytes
	}
	return Recent{Rows: max(r.Rows, 0), Bytes: max(r.Bytes, 0)}
}

// Store is the one writer of the key space. It belongs to one goroutine; its Views belong to everybody.
type Store struct {
	db     *backend.DB
	index  index
	recent Recent
	// garbage lists the rows that compactions will remove.
	garbage garbageQueue

	// overlay holds the rows above base: those not yet in bbolt, from the place flushed on, and before them the newest of
	// those that are, for readers of recent history. It is only ever appended to, or replaced.
	overlay []Event
	base    int64
	flushed int
	// overlayBytes is the size of the whole overlay, pendingBytes that of its rows not yet in bbolt.
	overlayBytes, pendingBytes int
	// deletes are rows in bbolt (or on their way) that compaction has removed from the index.
	deletes     []deletedRow
	deleteBytes int

	revision, compact, shape int64
	// finished is the compact revision whose rows are all deleted.
	finished int64
	// rows is the number of rows in bbolt.
	rows int64
	// bytes is the size of every row ever indexed by this Store; garbageBytes of those among them that are compacted.
	bytes, garbageBytes int64

	metaDirty bool // compact or finished changed since the last flush
	flushing  bool // between Flush and Flushed or NotFlushed
	txn       bool // a WriteTxn is open
	view      *View
}

type deletedRow struct {
	rev       Revision
	tombstone bool
}

// Revision is the newest revision; 1 in an empty store.
func (s *Store) Revision() int64 { return s.revision }

// CompactRevision is the revision of the newest compaction, -1 before the first.
func (s *Store) CompactRevision() int64 { return s.compact }

// Leased calls f for every key that has a pair with a lease, in order.
func (s *Store) Leased(f func(key string, lease int64)) {
	s.index.ascendLive(span{unbounded: true}, func(e entry) bool {
		if e.it.lease != 0 {
			f(e.key, e.it.lease)
		}
		return true
	})
}

// View is an immutable state of the store. Its methods may be called from any goroutine at any time, also while the
// store goes on and after it was closed.
type View struct {
	reader
	liveBytes int64
}

// View returns the present state. It costs little, and nothing when nothing changed since the last one.
func (s *Store) View() *View {
	invariant.Check(!s.txn, "view taken inside a write transaction")
	if s.view == nil {
		r := s.reader()
		r.index = s.index.copy()
		s.view = &View{reader: r, liveBytes: s.bytes - s.garbageBytes}
	}
	return s.view
}

// reader returns the present state without guarding it against change.
func (s *Store) reader() reader {
	return reader{
		db:       s.db,
		index:    s.index,
		overlay:  s.overlay[:len(s.overlay):len(s.overlay)],
		base:     s.base,
		revision: s.revision,
		compact:  s.compact,
		shape:    s.shape,
	}
}

// Keys is the number of keys that have a pair at the view's revision.
func (v *View) Keys() int { return v.index.live.len() }

// LiveBytes is the size of all rows that can still be asked for, that is, of everything not compacted. It depends on
// the history alone, so it is equal on all replicas whatever each has written or cleaned up.
func (v *View) LiveBytes() int64 { return v.liveBytes }

// PendingBytes is the size of what the next Flush writes.
func (s *Store) PendingBytes() int { return s.pendingBytes + s.deleteBytes }

// PendingOps is the number of changes that the next Flush makes.
func (s *Store) PendingOps() int {
	n := len(s.pending()) + len(s.deletes)
	if n == 0 && s.metaDirty {
		return 1
	}
	return n
}

// pending lists the rows that are not yet in bbolt.
func (s *Store) pending() []Event { return s.overlay[s.flushed:] }

// Flush adds everything not yet in bbolt to b. Until b was committed and Flushed called, the store must not change.
func (s *Store) Flush(b *backend.Batch) {
	invariant.Check(!s.txn, "flush inside a write transaction")
	block := make([]byte, 0, s.PendingBytes())
	cut := func(from int) []byte { return block[from:len(block):len(block)] }
	pending := s.pending()
	for i := range pending {
		e := &pending[i]
		from := len(block)
		block = appendRevisionKey(block, e.Rev, e.Delete)
		key := cut(from)
		from = len(block)
		block = appendRowValue(block, key, e)
		b.Put(backend.Key, key, cut(from))
	}
	// Deletes come last: a row may be put and compacted within one flush.
	for _, d := range s.deletes {
		from := len(block)
		block = appendRevisionKey(block, d.rev, d.tombstone)
		b.Delete(backend.Key, cut(from))
	}
	if s.PendingOps() > 0 {
		s.putMeta(b)
	}
	s.flushing = true
}

// Flushed says that the batch of the last Flush was committed.
func (s *Store) Flushed() {
	invariant.Check(s.flushing, "flushed without a flush")
	s.flushing = false
	s.rows += int64(len(s.pending()) - len(s.deletes))
	s.flushed, s.pendingBytes = len(s.overlay), 0
	s.deletes, s.deleteBytes = s.deletes[:0], 0
	s.metaDirty = false
	s.trim()
}

// NotFlushed says that the batch of the last Flush was not committed, and never will be: the next Flush adds all of it
// again.
func (s *Store) NotFlushed() {
	invariant.Check(s.flushing, "flush given up without a flush")
	s.flushing = false
}

// trim drops the oldest flushed rows from an overlay that has grown too large. Views may hold the old one.
func (s *Store) trim() {
	if len(s.overlay) <= 2*s.recent.Rows && s.overlayBytes <= 2*s.recent.Bytes {
		return
	}
	cut, size := 0, s.overlayBytes
	for cut < s.flushed && (len(s.overlay)-cut > s.recent.Rows || size > s.recent.Bytes) {
		// A whole revision goes or stays.
		rev := s.overlay[cut].Rev.Main
		for ; cut < s.flushed && s.overlay[cut].Rev.Main == rev; cut++ {
			size -= s.overlay[cut].rowBytes()
		}
		s.base = rev
	}
	s.overlay = slices.Clone(s.overlay[cut:])
	s.flushed -= cut
	s.overlayBytes = size
	s.view = nil
}
