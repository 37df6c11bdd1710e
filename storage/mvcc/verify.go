package mvcc

import (
	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// VerifyRows reads every row of the key space by itself: its key, its checksum and its form, not how rows follow each
// other, which Open looks at. It calls bad with each that is damaged, and goes on behind it, and read with the size of
// each that it has read. The error is that of reading the file.
func VerifyRows(db *backend.DB, bad func(error), read func(bytes int)) error {
	return db.Read(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(backend.Key).Cursor()
		for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
			if err := verifyRow(k, v); err != nil {
				bad(err)
			}
			read(len(k) + len(v))
		}
		return nil
	})
}

func verifyRow(k, v []byte) error {
	if _, _, err := parseRevisionKey(k); err != nil {
		return err
	}
	value, err := openRowValue(k, v)
	if err != nil {
		return err
	}
	var kv mvccpb.KeyValue
	return decodeKeyValue(value, &kv)
}
