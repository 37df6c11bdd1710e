package mvcc

import (
	"bytes"
	"errors"
	"fmt"
	"sort"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/storage/backend"
)

const (
	// sliceRows and sliceBytes bound one bbolt transaction of a reader, so that none holds up the writer for long.
	sliceRows  = 4096
	sliceBytes = 4 << 20
	// countAhead is how many keys are counted one by one before counting by position, which has a fixed price.
	countAhead = 128
)

// reader is a state of the store: the index as it was, and where the rows are. Rows above base are in the overlay, all
// others in bbolt, so none is found twice and none is missed.
type reader struct {
	db      *backend.DB
	index   index
	overlay []Event // by revision
	base    int64
	// revision and compact are the newest revision and the compact revision.
	revision, compact int64
	// shape is the newest revision that created or deleted a key: from it on, the keys with a pair are those in live.
	shape int64
}

func (r *reader) Revision() int64        { return r.revision }
func (r *reader) CompactRevision() int64 { return r.compact }

func (r *reader) Range(key, end []byte, o RangeOptions) (RangeResult, error) {
	var p pick
	count, err := r.walk(key, end, o, func(key string, w row) { p.add(r, key, w) })
	if err == nil {
		err = r.fetch(&p)
	}
	if err != nil {
		return RangeResult{}, r.rangeError(o, err)
	}
	return RangeResult{KVs: p.kvs, Count: count}, nil
}

// walk calls add for the rows of a range that are wanted, in order of their keys, and counts all.
func (r *reader) walk(key, end []byte, o RangeOptions, add func(key string, w row)) (count int, err error) {
	rev := o.Revision
	switch {
	case rev > r.revision:
		return 0, ErrFutureRevision
	case rev <= 0:
		rev = r.revision
	case rev < r.compact:
		return 0, ErrCompacted
	}
	switch {
	case len(end) == 0:
		count = r.pickKey(key, rev, o, add)
	case rev >= r.shape:
		count = r.pickLive(newSpan(key, end), rev, o, add)
	default:
		count = r.pickPast(newSpan(key, end), rev, o, add)
	}
	return count, nil
}

// rangeError puts an error of a range in the terms of who asked for it.
func (r *reader) rangeError(o RangeOptions, err error) error {
	if errors.Is(err, ErrStaleView) && o.Revision > 0 && !errors.Is(err, backend.ErrClosed) {
		// A row that the state at that revision needs is removed only by a compaction above it.
		return ErrCompacted
	}
	return err
}

// pick is a growing answer: pairs found, and the places left for those that must be read from bbolt.
type pick struct {
	kvs  []*mvccpb.KeyValue
	cold []coldRow
}

type coldRow struct {
	row
	key string
	to  int // position in kvs, or among the places
}

// add appends the pair of a row of a key.
func (p *pick) add(r *reader, key string, w row) {
	if w.main <= r.base {
		p.cold = append(p.cold, coldRow{row: w, key: key, to: len(p.kvs)})
		p.kvs = append(p.kvs, nil)
		return
	}
	p.kvs = append(p.kvs, r.recent(w))
}

// recent returns the pair of a row in the overlay.
func (r *reader) recent(w row) *mvccpb.KeyValue { return r.overlay[r.overlayIndex(w.revision())].KV }

// overlayIndex finds a revision in the overlay; one that it does not hold would have its place there.
func (r *reader) overlayIndex(rev Revision) int {
	return sort.Search(len(r.overlay), func(i int) bool { return r.overlay[i].Rev.Compare(rev) >= 0 })
}

func (r *reader) pickKey(key []byte, rev int64, o RangeOptions, add func(key string, w row)) int {
	e := r.index.get(alias(key))
	if e.it == nil {
		return 0
	}
	w, ok := e.it.at(rev)
	if !ok {
		return 0
	}
	if !o.CountOnly {
		add(e.key, w)
	}
	return 1
}

// pickLive answers for a revision at which exactly the live keys have a pair: it stops at the limit and counts the rest
// by position.
func (r *reader) pickLive(s span, rev int64, o RangeOptions, add func(key string, w row)) int {
	stop := o.Limit
	if o.CountOnly {
		stop = countAhead
	}
	count := 0
	r.index.ascendLive(s, func(e entry) bool {
		count++
		if stop > 0 && count > stop {
			return false
		}
		if !o.CountOnly {
			w, _ := e.it.at(rev)
			add(e.key, w)
		}
		return true
	})
	if stop > 0 && count > stop {
		count = r.index.countLive(s)
	}
	return count
}

// pickPast answers for any revision. The count makes it visit the whole range.
func (r *reader) pickPast(s span, rev int64, o RangeOptions, add func(key string, w row)) int {
	count := 0
	r.index.ascend(s, func(e entry) bool {
		w, ok := e.it.at(rev)
		if !ok {
			return true
		}
		count++
		if !o.CountOnly && (o.Limit <= 0 || count <= o.Limit) {
			add(e.key, w)
		}
		return true
	})
	return count
}

// fetch reads the cold rows, in slices.
func (r *reader) fetch(p *pick) error {
	for rest := p.cold; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && n < sliceRows && (n == 0 || size+rest[n].bytes() <= sliceBytes) {
			size += rest[n].bytes()
			n++
		}
		if err := r.fetchSlice(p.kvs, rest[:n], size); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// fetchSlice reads rows of the given total size. Their bytes are copied out of bbolt, into one block, and looked at
// only after its transaction has ended.
func (r *reader) fetchSlice(kvs []*mvccpb.KeyValue, rows []coldRow, size int) error {
	block := make([]byte, 0, size)
	err := r.stored(rows, func(_ *coldRow, k, v []byte) {
		block = append(block, k...)
		block = append(block, v...)
	})
	if err != nil {
		return err
	}
	pairs := make([]mvccpb.KeyValue, len(rows))
	for i := range rows {
		w, kv := &rows[i], &pairs[i]
		stored := block[:w.bytes():w.bytes()]
		block = block[w.bytes():]
		value, err := openRowValue(stored[:revisionBytes], stored[revisionBytes:])
		if err != nil {
			return err
		}
		if err := w.decode(value, kv); err != nil {
			return err
		}
		kvs[w.to] = kv
	}
	return nil
}

// stored calls f with the key and the value of rows as they are in bbolt, of the size that the index says. Both are valid
// only until f returns.
func (r *reader) stored(rows []coldRow, f func(w *coldRow, k, v []byte)) error {
	err := r.db.Read(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(backend.Key).Cursor()
		var key []byte
		for i := range rows {
			w := &rows[i]
			key = appendRevisionKey(key[:0], w.revision(), false)
			k, v := cursor.Seek(key)
			if !bytes.Equal(k, key) {
				return missingRow(tx, w.revision(), r.compact)
			}
			if len(k)+len(v) != w.bytes() {
				return fmt.Errorf("row %v has %d bytes instead of %d: %w", w.revision(), len(k)+len(v), w.bytes(),
					backend.ErrDamaged)
			}
			f(w, k, v)
		}
		return nil
	})
	return readError(err)
}

// decode fills kv, which must be zero, from a row's verified value, which has to be that of the key.
func (w *coldRow) decode(value []byte, kv *mvccpb.KeyValue) error {
	if err := decodeKeyValue(value, kv); err != nil {
		return err
	}
	if string(kv.Key) != w.key || kv.ModRevision != w.main {
		return fmt.Errorf("row %v holds key %q at revision %d instead of %q: %w", w.revision(), kv.Key,
			kv.ModRevision, w.key, backend.ErrDamaged)
	}
	return nil
}

// missingRow tells a row that a later compaction took from one that was lost.
func missingRow(tx *bbolt.Tx, r Revision, compact int64) error {
	scheduled, err := readCompactRevision(tx, scheduledKey)
	switch {
	case err != nil:
		return err
	case scheduled > compact:
		return ErrStaleView
	}
	return fmt.Errorf("row %v is missing: %w", r, backend.ErrDamaged)
}

// readError puts an error of the backend in our terms: a closed one means that another generation took over.
func readError(err error) error {
	if errors.Is(err, backend.ErrClosed) {
		return fmt.Errorf("%w: %w", ErrStaleView, err)
	}
	return err
}
