package mvcc

import (
	"bytes"
	"fmt"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// Verifier reads every row of the key space by itself: its key, its checksum and its form, not how the rows of a key follow
// each other, which Open looks at. It does so in slices, each a transaction of its own, so that a store in use neither
// waits for it nor keeps old pages for it.
//
// Rows that are missing are found by their number, unless a compaction removes some meanwhile.
type Verifier struct {
	db   *backend.DB
	last []byte // key of the last row read; nil before the first slice
	rows int64  // read so far, of those that were there at the start
	// What the store said of itself at the start.
	revision, compact, finished, stated int64
}

// NewVerifier makes a Verifier that starts with the first row.
func NewVerifier(db *backend.DB) *Verifier { return &Verifier{db: db} }

// Slice is what one call of Next has read.
type Slice struct {
	Rows  int
	Bytes int64
}

// Next reads rows until that many bytes are read. It calls bad with each that is damaged, and goes on behind it. done says
// that there are no more. The error is that of reading the file, or of rows that cannot be read in order.
func (v *Verifier) Next(most int64, bad func(error)) (s Slice, done bool, err error) {
	err = v.db.Read(func(tx *bbolt.Tx) error {
		var meta Store
		if err := meta.readMeta(tx); err != nil {
			return err
		}
		cursor := tx.Bucket(backend.Key).Cursor()
		var key, value []byte
		if v.last == nil {
			v.revision, v.compact, v.finished, v.stated = meta.revision, meta.compact, meta.finished, meta.rows
			key, value = cursor.First()
		} else if key, value = cursor.Seek(v.last); bytes.Equal(key, v.last) {
			key, value = cursor.Next()
		}
		for ; key != nil && s.Bytes < most; key, value = cursor.Next() {
			if v.last != nil && bytes.Compare(key, v.last) <= 0 {
				return fmt.Errorf("row %x after row %x: %w", key, v.last, backend.ErrDamaged)
			}
			if err := v.row(key, value, meta.revision); err != nil {
				bad(err)
			}
			v.last = append(v.last[:0], key...)
			s.Rows++
			s.Bytes += int64(len(key) + len(value))
		}
		if done = key == nil; done {
			return v.complete(&meta)
		}
		return nil
	})
	return s, done, err
}

// row verifies one row of a store at that revision.
func (v *Verifier) row(k, stored []byte, revision int64) error {
	rev, _, err := parseRevisionKey(k)
	if err != nil {
		return err
	}
	if rev.Main > revision {
		return fmt.Errorf("row %v in a store at revision %d: %w", rev, revision, backend.ErrDamaged)
	}
	if rev.Main <= v.revision {
		v.rows++
	}
	value, err := openRowValue(k, stored)
	if err != nil {
		return err
	}
	var kv mvccpb.KeyValue
	return decodeKeyValue(value, &kv)
}

// complete counts the rows that were there at the start. Nothing but a compaction removes any.
func (v *Verifier) complete(now *Store) error {
	if v.finished != v.compact || now.compact != v.compact || v.rows == v.stated {
		return nil
	}
	return fmt.Errorf("%d rows instead of %d up to revision %d: %w", v.rows, v.stated, v.revision, backend.ErrDamaged)
}
