package mvcc

import (
	"errors"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

var (
	// ErrCompacted says that the history asked for is gone: the revision is below the compact revision.
	ErrCompacted = errors.New("required revision has been compacted")
	// ErrFutureRevision says that the revision asked for has not happened yet.
	ErrFutureRevision = errors.New("required revision is a future revision")
	// ErrStaleView says that the newest state of this view is gone, because a compaction or a newer state generation
	// overtook it. The caller takes a new view and asks again.
	ErrStaleView = errors.New("view is stale")
)

// Reader is what reads the store at a revision: a View, or a WriteTxn for its own writes.
type Reader interface {
	// Revision is the newest revision that the reader sees.
	Revision() int64
	// CompactRevision is the revision of the newest compaction, -1 before the first. Revisions below it cannot be read;
	// the revision itself can.
	CompactRevision() int64
	// Range reads the keys from key, in byte order: that key alone when end is empty, all keys from it on when end is one
	// zero byte, else those below end. Errors: ErrCompacted, ErrFutureRevision, ErrStaleView (views only) and
	// backend.ErrDamaged.
	Range(key, end []byte, o RangeOptions) (RangeResult, error)
}

// RangeOptions say what part of a range is wanted.
type RangeOptions struct {
	// Revision is the state to read; 0 or less is the newest.
	Revision int64
	// Limit bounds the number of pairs returned; 0 or less is no limit.
	Limit int
	// CountOnly leaves the pairs out.
	CountOnly bool
}

// RangeResult is the answer to a range.
type RangeResult struct {
	// KVs are in key order. They are shared with other readers and must not be modified.
	KVs []*mvccpb.KeyValue
	// Count is the number of keys in the range, whatever the limit.
	Count int
}

// Event is one change: one row of the store.
type Event struct {
	Rev Revision
	// KV is the pair put; of a deleted one it holds the key and the revision of the deletion. It is shared and must not be
	// modified.
	KV     *mvccpb.KeyValue
	Delete bool
	// PrevLease is the lease of the pair that this change replaced or deleted, 0 for none. It is known only to who makes
	// the change: no row holds it.
	PrevLease int64
}
