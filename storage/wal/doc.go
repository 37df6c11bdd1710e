// Package wal is what a node writes down before it says anything: who it is (identity), what it promised (hardstate),
// and the raft log (the directory of segments). The log answers one question after a crash without guessing: is damage
// at the end of the log a write that was never acknowledged (torn, cut off silently), or one that was (corrupt,
// refused)?
//
// # Invariants
//
// W1: a frame with content is synced before the next frame is written. So at any moment at most one frame with content,
// the last, can be torn. A damaged frame with a valid frame after it was synced once: it is corrupt.
//
// W2: the state's applied index never passes the log's end. A log that ends before it has lost entries.
//
// W3: a segment's file gets its name only after its header and first frame are synced, and nothing else is written
// before the name is durable. So a named segment always has a valid header, and damage to its first bytes (Born) is
// corruption.
//
// W4: every boot starts a new segment and writes the last frame with content once more into it. So nothing is appended
// after a torn tail, nothing is truncated, and a tail that a failed sync left only in the page cache becomes durable. A
// segment that holds no more than such a copy is replaced by the next boot's: restarts alone take no space.
//
// W5: segments are removed oldest first, each removal durable before the next. So those that exist form one chain.
//
// # The rule that classifies
//
// Every frame says where it attaches: the index before its first entry, and the term of the entry there. If the log
// read so far has an entry of that index and term, then by raft's Log Matching property the two share everything up to
// it; with the frame's own entries behind it, the log is what it was when the frame was written. So whatever lay
// damaged in between is not missed: a torn seal, superseded entries, the original of a rewritten frame. If the log has
// no such entry, or the frame's payload is damaged too, and the damage is proven to have been synced, entries are
// missing: [CorruptError]. Comparing indexes alone would not do: the damaged frame may have overwritten entries.
//
// Example. Frame 1 holds entries 2 to 5 of term 1, frame 2 overwrites 4 with term 2, frame 3 holds 5 of term 2. With
// frame 2 unreadable, frame 3 (after index 4) fits the index 4 that frame 1 left, but wants term 2 there: corrupt. Had
// frame 3 been another overwrite of 4, after index 3 and term 1, it would attach and nothing would be missing.
//
// Proof that a damaged frame was synced is any of: a valid frame header after it (W1); the next segment's header (W3);
// its place in a segment's first Born bytes (W3); the applied index (W2); that the disk cannot read it, since what a crash
// leaves can be read. Without proof it is torn: the log ends before
// it. One case stays open: damage to the very last synced frame before its seal is written looks like a torn write. The
// seal comes after 50 ms of quiet, or with the next frame.
//
// # Files
//
// Numbers are little endian, checksums CRC-32C. The log's checksums start from a seed made of the node's incarnation,
// the segment's number and, for a frame, its offset, so that what belongs to another place, segment or node never passes
// for a frame.
//
// A segment, wal/<number>.log (16 hex digits), preallocated and zero-filled:
//
//	+----------------+---------+---------+-- ... --+-------+
//	| segment header |  frame  |  frame  |         | zeros |
//	+----------------+---------+---------+-- ... --+-------+
//
// The segment header, padded with zeros to a multiple of 512 bytes:
//
//	offset  size  field
//	     0     8  magic and version, "QKVWAL\x00\x02"
//	     8     8  Number of this segment
//	    16     8  Prev: number of the segment before it, 0 for the first
//	    24     8  LastSeq: sequence number of the last frame before this segment
//	    32     4  Chain: header checksum of that frame
//	    36     4  flags: 1 = the first frame is the boot's copy of the last one
//	    40     8  LastIndex: index of the last entry before this segment
//	    48     8  LastTerm: term of that entry
//	    56     8  index of the snapshot that the log last started from
//	    64     8  term of that snapshot
//	    72     8  Born: bytes of header and first frame that were synced before the file got its name
//	    80     4  checksum of bytes 0..80 and 84..88+c
//	    84     4  length c of the ConfState plus one; 0 = none
//	    88     c  ConfState of that snapshot (protobuf)
//
// A frame, padded with zeros to a multiple of 8 bytes:
//
//	offset  size  field
//	     0     4  magic: "QKVe" entries, "QKVr" reset, "QKVs" seal
//	     4     4  length n of the payload
//	     8     8  Seq: counts frames from 1, across segments
//	    16     8  First: index of the first entry; of the next one if there is none
//	    24     8  PrevTerm: term of the entry First-1
//	    32     8  Commit: a hint, the highest commit index known
//	    40     4  number of entries
//	    44     4  checksum of the payload
//	    48     4  header checksum of the frame before it; of the segment header for the first
//	    52     4  header checksum: bytes 0..52
//	    56     n  payload
//
// The payload of an entries frame is its entries, one after the other. That of a reset frame is the length of a
// ConfState plus one (4 bytes; 0 = none), the ConfState, then entries; the frame discards the log and starts it anew
// after the snapshot at (First-1, PrevTerm). A seal has none: it is the proof for the frame before it, and is itself
// never synced for.
//
//	offset  size  entry field
//	     0     8  index
//	     8     8  term
//	    16     4  type
//	    20     4  length d of the data
//	    24     d  data
//
// The file identity, written once:
//
//	offset  size  field
//	     0     8  magic and version, "QKVIDN\x00\x01"
//	     8     8  cluster id
//	    16     8  member id
//	    24    16  incarnation
//	    40     4  length b of the bootstrap bytes
//	    44     4  checksum of bytes 0..44 and the bootstrap bytes
//	    48     b  bootstrap: the initial membership, opaque here
//
// The file hardstate holds two copies of the same, at offsets 0 and 4096:
//
//	offset  size  field
//	     0     8  magic and version, "QKVHRD\x00\x01"
//	     8     8  sequence number, grows with each save
//	    16     8  term
//	    24     8  vote
//	    32     8  boot epoch
//	    40     4  checksum of bytes 0..40
//
// The file peers holds two copies of 4096 bytes:
//
//	offset  size  field
//	     0     8  magic and version, "QKVPRS\x00\x01"
//	     8     8  sequence number, grows with each save
//	    16     4  number of peers met, at most MaxPeers
//	    20     4  checksum of bytes 0..20 and 24..4096
//	    24     8  epoch of this node's newest run
//	    32     8  number of its runs listed, at most MaxRuns
//	    40  64*8  nonces of the runs, oldest first
//	   552  n*48  peers: member 8, incarnation 16, epoch 8, nonce 8, nonce of a run refused 8
//
// # Calling order
//
// Create once, then at every start Open, which returns the entries and a Log to append to. A Log belongs to one lane;
// it has no goroutines. A Scrub reads the files beside it, on another lane; what is found damaged then, Renew replaces by a
// segment without a predecessor, as Rebuild does before the log is open. After an error that leaves the disk's content in doubt it refuses all further work: a failed
// fsync may have dropped pages that a second, successful one will not write. The process must stop and recover.
package wal
