package mvcc

import (
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
	// garbage lists the rows that compactions will remove, condemned those that one is removing.
	garbage   garbageQueue
	condemned condemned

	// overlay holds the rows above base, in three layers: up to the place flushed the newest of those in bbolt, for readers of
	// recent history; up to the place sealed those of the flush under way, if there is one; then the fresh ones. It is only
	// ever appended to, or replaced.
	overlay         []Event
	base            int64
	flushed, sealed int
	// overlayBytes is the size of the whole overlay, freshBytes that of the rows behind sealed.
	overlayBytes, freshBytes int
	// deletes are rows in bbolt (or on their way) that compaction has removed from the index: first those of the flush under
	// way, sealedDeletes many, then the fresh ones, of freshDeleteBytes.
	deletes                         []deletedRow
	sealedDeletes, freshDeleteBytes int

	revision, compact, shape int64
	// finished is the compact revision whose rows are all deleted.
	finished int64
	// rows is the number of rows in bbolt.
	rows int64
	// bytes is the size of every row ever indexed by this Store; garbageBytes of those among them that are compacted.
	bytes, garbageBytes int64

	metaDirty bool // compact or finished changed since the last Seal
	// flush is the one under way, between Seal and Flushed or NotFlushed.
	flush *Sealed
	block []byte // memory for the next flush
	txn   bool   // a WriteTxn is open
	view  *View
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
