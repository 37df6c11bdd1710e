package backend

import "go.etcd.io/bbolt"

// Batch collects changes for one Commit. They are carried out in the order in which they were added. The zero value is
// ready to use.
type Batch struct {
	ops   []op
	bytes int
}

type op struct {
	bucket, key, value []byte
	delete             bool
}

// Put sets a key. The slices are kept, not copied: they must not change until the batch was committed or reset.
func (b *Batch) Put(bucket, key, value []byte) {
	b.ops = append(b.ops, op{bucket: bucket, key: key, value: value})
	b.bytes += len(key) + len(value)
}

// Delete removes a key; a missing one is fine. The slices are kept as in Put.
func (b *Batch) Delete(bucket, key []byte) {
	b.ops = append(b.ops, op{bucket: bucket, key: key, delete: true})
	b.bytes += len(key)
}

// Len is the number of changes.
func (b *Batch) Len() int { return len(b.ops) }

// Bytes is the size of all keys and values in the batch.
func (b *Batch) Bytes() int { return b.bytes }

// Reset empties the batch and keeps its room for the next one.
func (b *Batch) Reset() {
	clear(b.ops) // let go of the caller's slices
	b.ops = b.ops[:0]
	b.bytes = 0
}

// apply carries the changes out in a transaction. Consecutive changes of one bucket share its handle, which saves a
// search each.
func (b *Batch) apply(tx *bbolt.Tx) error {
	var bucket *bbolt.Bucket
	var name []byte
	for i := range b.ops {
		o := &b.ops[i]
		if bucket == nil || string(name) != string(o.bucket) {
			name = o.bucket
			if bucket = tx.Bucket(name); bucket == nil {
				return missingBucket(name)
			}
			if string(name) == string(Key) {
				bucket.FillPercent = keyFillPercent
			}
		}
		var err error
		if o.delete {
			err = bucket.Delete(o.key)
		} else {
			err = bucket.Put(o.key, o.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
