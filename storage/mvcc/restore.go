package mvcc

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// Keys in the meta bucket. The first two are etcd's, the third is ours; see the package comment for their values.
var (
	scheduledKey = []byte("scheduledCompactRev")
	finishedKey  = []byte("finishedCompactRev")
	currentKey   = []byte("currentRev")
)

const (
	currentBytes = 8 + 8 + 8 + 4
	// noCompaction is the compact revision before the first compaction, as in etcd.
	noCompaction = -1
	// firstRevision is the revision of an empty store.
	firstRevision = 1
)

// Open reads the store that db holds and builds its index. Every row is verified on the way.
func Open(db *backend.DB, recent Recent) (*Store, error) {
	s := &Store{db: db, recent: recent.withDefaults()}
	s.index.live.loading = true
	err := db.Read(func(tx *bbolt.Tx) error {
		if err := s.readMeta(tx); err != nil {
			return err
		}
		return s.readRows(tx)
	})
	if err != nil {
		return nil, fmt.Errorf("open key space: %w", err)
	}
	s.index.live.loaded()
	s.base = s.revision
	s.garbageBytes = s.garbage.totalAt(s.compact)
	return s, nil
}

func (s *Store) readMeta(tx *bbolt.Tx) (err error) {
	s.revision, s.compact = firstRevision, noCompaction
	if v := tx.Bucket(backend.Meta).Get(currentKey); v != nil {
		if len(v) != currentBytes ||
			binary.BigEndian.Uint32(v[24:]) != crc32.Checksum(v[:24], castagnoli) {
			return fmt.Errorf("record %s: %w", currentKey, backend.ErrDamaged)
		}
		s.revision = int64(binary.BigEndian.Uint64(v))
		s.compact = int64(binary.BigEndian.Uint64(v[8:]))
		s.rows = int64(binary.BigEndian.Uint64(v[16:]))
	}
	scheduled, err := readCompactRevision(tx, scheduledKey)
	if err != nil {
		return err
	}
	if s.finished, err = readCompactRevision(tx, finishedKey); err != nil {
		return err
	}
	if scheduled != s.compact || s.finished > s.compact || s.compact > s.revision {
		return fmt.Errorf("revision %d, compacted at %d, compaction scheduled at %d and finished at %d: %w",
			s.revision, s.compact, scheduled, s.finished, backend.ErrDamaged)
	}
	return nil
}

// readCompactRevision reads one of etcd's two compaction records.
func readCompactRevision(tx *bbolt.Tx, key []byte) (int64, error) {
	v := tx.Bucket(backend.Meta).Get(key)
	if v == nil {
		return noCompaction, nil
	}
	r, _, err := parseRevisionKey(v)
	if err != nil {
		return 0, fmt.Errorf("record %s: %w", key, err)
	}
	return r.Main, nil
}

// readRows builds the index by repeating history: what a WriteTxn does for each change, without making views possible.
func (s *Store) readRows(tx *bbolt.Tx) error {
	var last Revision
	var rows int64
	var tombstones []deletedKey // of revision last.Main
	bury := func() {
		for _, d := range tombstones {
			s.garbage.push(last.Main+1, d.key, d.size)
		}
		tombstones = tombstones[:0]
	}
	var kv mvccpb.KeyValue // one for all rows: there may be millions
	cursor := tx.Bucket(backend.Key).Cursor()
	for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
		rev, tombstone, err := parseRevisionKey(k)
		if err != nil {
			return err
		}
		if rows > 0 && rev.Compare(last) <= 0 || rev.Main > s.revision {
			return fmt.Errorf("row %v after %v, in a store at revision %d: %w", rev, last, s.revision,
				backend.ErrDamaged)
		}
		value, err := openRowValue(k, v)
		if err != nil {
			return err
		}
		kv.Reset()
		if err := decodeKeyValue(value, &kv); err != nil {
			return err
		}
		if rev.Main != last.Main {
			bury()
		}
		last = rev
		rows++
		w := newRow(rev, len(k)+len(v), tombstone)
		s.bytes += int64(w.bytes())
		key, err := s.restoreRow(w, &kv)
		if err != nil {
			return err
		}
		if tombstone {
			tombstones = append(tombstones, deletedKey{key: key, size: w.bytes()})
		}
	}
	bury()
	if rows != s.rows {
		return fmt.Errorf("%d rows instead of %d: %w", rows, s.rows, backend.ErrDamaged)
	}
	return nil
}

// restoreRow adds one row to the history of its key, of which it returns the index's own copy.
func (s *Store) restoreRow(w row, kv *mvccpb.KeyValue) (key string, err error) {
	it := &item{newest: w, created: kv.CreateRevision, version: kv.Version, lease: kv.Lease}
	if w.tombstone() {
		return s.restoreTombstone(w, kv, it)
	}
	s.index.put(alias(kv.Key), func(was entry) *item {
		if !continues(was.it, w, kv) {
			err = outOfOrder(w, kv)
		}
		if was.it == nil || was.it.version == 0 {
			s.shape = w.main
		} else {
			s.garbage.push(w.main, was.key, was.it.newest.bytes())
		}
		if was.it != nil {
			it.past = was.it.all()
		}
		key = was.key
		return it
	})
	return key, err
}

// restoreTombstone is restoreRow for the end of a key.
func (s *Store) restoreTombstone(w row, kv *mvccpb.KeyValue, it *item) (key string, err error) {
	was := s.index.get(alias(kv.Key))
	if !continues(was.it, w, kv) {
		return "", outOfOrder(w, kv)
	}
	s.shape = w.main
	if was.it == nil { // compacted at it
		key = string(kv.Key)
		s.index.putDead(key, it)
		return key, nil
	}
	s.garbage.push(w.main, was.key, was.it.newest.bytes())
	s.index.bury(was.key, was.it.buried(w))
	return was.key, nil
}

func outOfOrder(w row, kv *mvccpb.KeyValue) error {
	return fmt.Errorf("row %v of key %q does not follow the one before: %w", w.revision(), kv.Key, backend.ErrDamaged)
}

// continues reports whether a row may be the next one of a key, it being the history so far. The oldest row left by
// compactions may be any.
func continues(it *item, w row, kv *mvccpb.KeyValue) bool {
	if w.tombstone() {
		return len(kv.Key) > 0 && kv.Version == 0 && kv.CreateRevision == 0 && (it == nil || it.version > 0)
	}
	if len(kv.Key) == 0 || kv.ModRevision != w.main || kv.Version <= 0 || kv.CreateRevision > w.main {
		return false
	}
	switch {
	case it == nil:
		return true
	case it.version > 0:
		return kv.CreateRevision == it.created && kv.Version == it.version+1
	}
	return kv.CreateRevision == w.main && kv.Version == 1
}
