// Package backend owns the state file of a node: one bbolt database per generation, and the name of the generation that
// counts. It knows buckets and bytes, nothing of what they mean.
//
// The file is a cache of the log. Losing it costs time, never data, so damage has one answer: the caller drops the
// generation and builds another from a snapshot and the log. Three rules keep that true.
//
//   - One writer. Every change goes through [DB.Commit], one bbolt transaction per [Batch]; there is no background
//     committer, no hook, no second door. The caller puts data and the applied index that covers it in the same Batch.
//   - A write that failed is the last one: after an error from Commit the handle refuses further batches, because
//     nothing is known of what reached the disk. A full disk is the exception, when a write and not a sync has found it
//     so, before the meta page was written: bbolt never writes over a page that the committed state refers to, so that
//     state is as it was, and the next transaction writes every page that it refers to and that is not part of it.
//   - Damage is an error value. Page faults on the mapping (SIGBUS) and the panics bbolt answers rotten pages with come
//     back as [ErrDamaged]. bbolt checks no page but its two meta pages, so values must carry checksums of their own:
//     see package mvcc.
//
// # Files
//
//	state/CURRENT          names the live generation; replaced by rename, so it always names a complete one
//	state/<gen>/db         the bbolt file of a generation, numbered with 16 hex digits, growing
//	state/<gen>/opening    there is an attempt to open db under way, or it died
//	state/<gen>/reopening  the same, and the attempt before it died as well
//	state/<gen>/condemned  db was found damaged; holds the reason
//	state/damaged/         the last such generation, kept as evidence once another is current
//
// CURRENT:
//
//	offset  bytes  content
//	     0     16  generation, hex digits
//	    16      1  space
//	    17      8  CRC32C of the first 16 bytes, hex digits
//	    25      1  newline
//
// A generation that CURRENT does not name is not used and is swept by the next Open or Switch.
//
// # The opening marker
//
// bbolt finds its free pages in a goroutine of its own, where a rotten page kills the process and no recover can
// help. So a marker is made, durably, before bbolt opens the file and removed once it is open. One marker left over
// may be the trace of a power cut, so a second attempt is made under another name. It walks the file's pages first, which
// finds nearly all that bbolt dies of, and can report it. If that one dies too, the third Open reports [ErrDamaged] without
// touching the file, and the crash loop ends. The same walk is made of copies that others send, before bbolt opens them.
//
// # Concurrency
//
// Commit, Switch and Close belong to one owner, who may be another goroutine for each but does one at a time. Read, Pin, Size and InUse may be called from any goroutine at any
// time; bbolt's snapshot isolation makes that safe. A Read that lasts keeps pages from being reused and holds up a
// growing mapping, so long scans are cut into slices by their callers.
//
// # Determinism
//
// What the buckets hold is a function of the batches; how the file holds it is not, because bbolt walks Go maps when it
// merges and writes out nodes. The array free list, which hands out the lowest pages first, removes one more source of
// chance at little cost, but Size, InUse and the length and bytes of a copy still differ a little from run to run, and
// from replica to replica. No decision may rest on them.
package backend
