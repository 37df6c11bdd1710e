package mvcc

import (
	"hash"
	"hash/crc32"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/internal/protofield"
	"github.com/quorumkv/quorumkv/storage/backend"
)

// HashKV is a digest of the history up to a revision. Stores with equal histories and equal compact revisions have
// equal ones, etcd's included.
type HashKV struct {
	Hash                          uint32
	CompactRevision, HashRevision int64
}

// HashKV computes etcd's digest of all rows up to rev, 0 being the view's revision. It reads the whole history, in
// slices. Errors are those of Range.
//
// The digest is CRC32C over the bucket's name and every row, key and value, in the order of revisions. Compaction makes
// it interesting, because replicas delete at their own pace and must still agree. So of the rows up to the compact
// revision only those count that the state at rev shows, deleted or not; and if that state has no keys at all, those
// that the state at the compact revision shows. Deletions at or below the compact revision never count.
func (v *View) HashKV(rev int64) (HashKV, error) {
	explicit := rev > 0
	switch {
	case explicit && rev < v.compact:
		return HashKV{}, ErrCompacted
	case rev > v.revision:
		return HashKV{}, ErrFutureRevision
	case rev == 0:
		rev = v.revision
	}
	h := kvHash{view: v, rev: rev, crc: crc32.New(castagnoli)}
	h.crc.Write(backend.Key)
	h.shownAt = rev
	if v.empty(rev) {
		h.shownAt = v.compact
	}
	overtaken, err := v.scan(Revision{}, min(rev, v.base), h.add)
	if err != nil {
		if overtaken > rev && explicit {
			err = ErrCompacted
		}
		return HashKV{}, err
	}
	for i := range v.overlay {
		e := &v.overlay[i]
		if e.Rev.Main > rev {
			break
		}
		h.addEvent(e)
	}
	return HashKV{Hash: h.crc.Sum32(), CompactRevision: v.compact, HashRevision: rev}, nil
}

// empty reports whether no key has a pair at rev.
func (v *View) empty(rev int64) bool {
	none := true
	v.index.ascend(span{unbounded: true}, func(e entry) bool {
		_, shown := e.it.at(rev)
		none = !shown
		return none
	})
	return none
}

// kvHash is a digest under way.
type kvHash struct {
	view    *View
	rev     int64
	shownAt int64 // rows up to the compact revision count when the state at this revision shows them
	crc     hash.Hash32
	buf     []byte
}

// add is called for every stored row up to rev.
func (h *kvHash) add(rowKey, value []byte, r Revision, tombstone bool) error {
	if r.Main <= h.view.compact {
		if tombstone {
			return nil
		}
		var kv mvccpb.KeyValue
		if err := decodeKeyValue(value, &kv); err != nil {
			return err
		}
		if !h.shows(kv.Key, r) {
			return nil
		}
	}
	h.crc.Write(rowKey)
	h.crc.Write(value)
	return nil
}

func (h *kvHash) addEvent(e *Event) {
	if e.Rev.Main <= h.view.compact && (e.Delete || !h.shows(e.KV.Key, e.Rev)) {
		return
	}
	h.buf = appendRevisionKey(h.buf[:0], e.Rev, e.Delete)
	h.crc.Write(h.buf)
	h.buf = h.buf[:0]
	if e.Delete {
		h.buf = protofield.AppendBytes(h.buf, tagKey, e.KV.Key)
	} else {
		h.buf = AppendKeyValue(h.buf, e.KV)
	}
	h.crc.Write(h.buf)
}

func (h *kvHash) shows(key []byte, r Revision) bool {
	it := h.view.index.get(alias(key)).it
	if it == nil {
		return false
	}
	w, ok := it.at(h.shownAt)
	return ok && w.revision() == r
}

// scan calls f for the stored rows from a revision up to a main one, in order and in slices. The bytes given to f are
// valid only until it returns. When a compaction above the view's has begun to remove rows, scan returns its revision
// and ErrStaleView.
func (v *View) scan(from Revision, to int64, f func(rowKey, value []byte, r Revision, tombstone bool) error) (
	overtaken int64, err error,
) {
	start := appendRevisionKey(nil, from, false)
	for more := true; more; {
		err := v.db.Read(func(tx *bbolt.Tx) error {
			scheduled, err := readCompactRevision(tx, scheduledKey)
			if err != nil {
				return err
			}
			if scheduled > v.compact {
				overtaken = scheduled
				return ErrStaleView
			}
			cursor := tx.Bucket(backend.Key).Cursor()
			k, stored := cursor.Seek(start)
			for rows, size := 0, 0; k != nil && rows < sliceRows && size < sliceBytes; k, stored = cursor.Next() {
				r, tombstone, err := parseRevisionKey(k)
				if err != nil {
					return err
				}
				if r.Main > to {
					k = nil
					break
				}
				value, err := openRowValue(k, stored)
				if err != nil {
					return err
				}
				if err := f(k, value, r, tombstone); err != nil {
					return err
				}
				rows++
				size += len(k) + len(stored)
			}
			start = append(start[:0], k...)
			more = k != nil
			return nil
		})
		if err != nil {
			return overtaken, readError(err)
		}
	}
	return 0, nil
}
