// Package mvcc owns the key space and its history: every change ever made to a key, until a compaction gives it up.
//
// A change is a row, stored in bbolt under its [Revision]. The [Store] is the one writer; it belongs to the applier and
// knows nothing of goroutines. A [View] is a state of the store that never changes: any number of goroutines read views
// without a lock while the store goes on.
//
// # Where a row is
//
// A new row is in the overlay, a slice in memory, until a flush has brought it to bbolt. The log makes it durable long
// before, so flushes may be rare. It stays there for a while after that, because the newest history is what watchers read.
// Each view remembers base, the last revision that had left the overlay when it was taken, and looks for rows above base in
// its overlay and for all others in bbolt:
//
//	revision   1 ........................ base | base+1 .......... newest
//	           bbolt, any later transaction    | overlay of the view
//
// The two never overlap, so nothing is read twice or missed (etcd #17247), and a later bbolt transaction is as good
// as an earlier one because rows never change. They may only go, taken by a compaction: a view that misses a row
// looks at the compaction record in the same transaction, and says [ErrCompacted], [ErrStaleView] or, if no
// compaction explains the gap, backend.ErrDamaged.
//
// # A flush
//
// A commit takes as long as the disk does, and nobody is to wait for it. So a flush has three steps, and only the one in the
// middle, on another goroutine, touches bbolt. [Store.Seal] marks where the overlay ends, and with it the rows that
// compactions have removed; [Sealed.AddTo] encodes what is before the mark, for one transaction; [Store.Flushed] lets the
// store do without it. What changes in between is behind the mark and is the next flush's:
//
//	overlay    base+1 ......... | ................... | ........ newest
//	           recent, in bbolt | sealed, on its way  | fresh
//
// For readers nothing changes in any of the steps: a row that arrives in bbolt is above the base of every view that was taken
// before [Store.Flushed], and those look for it in their overlay. A row that is deleted there is one that the index of the
// moment of the Seal did not have, and the compaction record that says so is in the same transaction.
//
// # The index
//
// The index maps each key to its rows: revision, size, whether it is a deletion. It is a B-tree whose nodes are copied
// when keys come or go, or lose rows, after a view was taken. A new row of a key that is there replaces the key's item in
// place, and older views see it too: they ask for rows by revision, and the new item has all that the old one had. A key
// with one row takes some 80 bytes beside its own. Keys that have a pair now and keys that are only history sit in two
// trees. So a read of the newest state passes no deleted keys, and a page of it costs as much as the page, although the
// answer counts the whole range.
//
// # Compaction
//
// [Store.Compact] takes effect for readers at once. What it makes removable was known before: whatever supersedes or
// deletes queues an entry, in the order in which compactions will want it. [Store.CompactStep] works off that queue,
// so a compaction costs what it removes and may stop anywhere; after a restart the queue is rebuilt with the index. It takes
// many entries at a time and removes their rows in the order of the file, so that a page that loses rows is written once.
// What the state at the compact revision shows stays, and so does a deletion at the compact revision itself, which a
// watch from there must still see (etcd #18089, #19179).
//
// The current revision is stored, never derived: after a compaction the newest row may be far below it (etcd #17780).
//
// # Format
//
// Bucket key, as in etcd:
//
//	key     bytes  content
//	   0        8  main revision, big endian
//	   8        1  '_'
//	   9        8  sub revision, big endian
//	  17        1  't', only in the row of a deletion
//
//	value   bytes  content
//	   0        n  mvccpb.KeyValue, the bytes that etcd stores; of a deletion, only the field key
//	   n        1  0x7d: protobuf field 15, fixed32, which etcd skips as unknown
//	 n+1        4  CRC32C of the row's key and the first n bytes, little endian
//
// Bucket meta:
//
//	scheduledCompactRev  revision as above, 17 bytes: the compact revision; absent before the first compaction
//	finishedCompactRev   the same: every row that this compaction gave up has been deleted
//	currentRev           28 bytes, big endian: current revision 8, compact revision 8 (-1: none), number of rows 8, CRC32C
//	                     of these 24 bytes 4
//
// Rows are written in the order of revisions; no row is ever rewritten.
package mvcc
