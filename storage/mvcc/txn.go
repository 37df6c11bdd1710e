package mvcc

import (
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/internal/invariant"
)

// WriteTxn carries out one client command: however many changes it makes, they share one main revision. There is no way
// back, so the command must be validated before its first change.
type WriteTxn struct {
	s     *Store
	first int // of its changes, in the overlay
	// tombstones are what it deleted. They become garbage one revision later than what they supersede, so they are queued
	// at the end.
	tombstones []deletedKey
}

type deletedKey struct {
	key  string
	size int
}

// Begin starts a command. Only one may be open at a time.
func (s *Store) Begin() *WriteTxn {
	invariant.Check(!s.txn, "begin inside a write transaction")
	s.txn = true
	return &WriteTxn{s: s, first: len(s.overlay)}
}

// Changed reports whether the command changed anything yet.
func (t *WriteTxn) Changed() bool { return len(t.s.overlay) > t.first }

// Changes returns the changes so far, in order. They must not be modified.
func (t *WriteTxn) Changes() []Event {
	n := len(t.s.overlay)
	return t.s.overlay[t.first:n:n]
}

// Revision is the revision that the command sees: one more than the store's once it changed something.
func (t *WriteTxn) Revision() int64 {
	if t.Changed() {
		return t.s.revision + 1
	}
	return t.s.revision
}

// CompactRevision implements Reader.
func (t *WriteTxn) CompactRevision() int64 { return t.s.compact }

// Range implements Reader: it sees what the command has changed.
func (t *WriteTxn) Range(key, end []byte, o RangeOptions) (RangeResult, error) {
	r := t.s.reader()
	r.revision = t.Revision()
	return r.Range(key, end, o)
}

// next is the revision of the next change.
func (t *WriteTxn) next() Revision {
	return Revision{Main: t.s.revision + 1, Sub: int64(len(t.s.overlay) - t.first)}
}

// Put sets a key. The slices are kept, not copied: they must never change again.
func (t *WriteTxn) Put(key, value []byte, lease int64) {
	s, rev := t.s, t.next()
	kv := &mvccpb.KeyValue{
		Key: key, Value: value, Lease: lease,
		ModRevision: rev.Main, CreateRevision: rev.Main, Version: 1,
	}
	s.index.put(alias(key), func(was entry) *item {
		it, previous := &item{lease: lease}, int64(0)
		if was.it != nil {
			it.past = was.it.all()
		}
		if was.it == nil || was.it.version == 0 {
			s.shape = rev.Main
		} else {
			kv.CreateRevision, kv.Version = was.it.created, was.it.version+1
			previous = was.it.lease
			s.garbage.push(rev.Main, was.key, was.it.newest.bytes())
		}
		it.created, it.version = kv.CreateRevision, kv.Version
		it.newest = t.record(Event{Rev: rev, KV: kv, PrevLease: previous})
		return it
	})
}

// DeleteRange deletes all keys of a range (see Reader) and returns how many there were.
func (t *WriteTxn) DeleteRange(key, end []byte) int {
	s := t.s
	var doomed []entry
	if len(end) == 0 {
		if e := s.index.live.get(alias(key)); e.it != nil {
			doomed = append(doomed, e)
		}
	} else {
		s.index.ascendLive(newSpan(key, end), func(e entry) bool {
			doomed = append(doomed, e)
			return true
		})
	}
	for _, was := range doomed {
		rev := t.next()
		s.shape = rev.Main
		s.garbage.push(rev.Main, was.key, was.it.newest.bytes())
		w := t.record(Event{
			Rev:       rev,
			KV:        &mvccpb.KeyValue{Key: []byte(was.key), ModRevision: rev.Main},
			Delete:    true,
			PrevLease: was.it.lease,
		})
		t.tombstones = append(t.tombstones, deletedKey{key: was.key, size: w.bytes()})
		s.index.bury(was.key, was.it.buried(w))
	}
	return len(doomed)
}

// record appends a change to the overlay.
func (t *WriteTxn) record(e Event) row {
	s := t.s
	w := newRow(e.Rev, e.rowBytes(), e.Delete)
	s.overlay = append(s.overlay, e)
	s.overlayBytes += w.bytes()
	s.freshBytes += w.bytes()
	s.bytes += int64(w.bytes())
	return w
}

// End closes the command. What it changed becomes part of the next View.
func (t *WriteTxn) End() {
	s := t.s
	invariant.Check(s.txn, "end of a transaction that is not open")
	s.txn = false
	if !t.Changed() {
		return
	}
	s.revision++
	for _, d := range t.tombstones {
		s.garbage.push(s.revision+1, d.key, d.size)
	}
	s.view = nil
}
