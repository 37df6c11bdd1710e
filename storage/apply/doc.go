// Package apply is the replicated state machine: it turns committed raft entries into changes of the key-value store, of
// the membership and of its own bookkeeping, and answers the commands that this node proposed.
//
// Invariants:
//
//   - Apply is a pure function of (state, entry). It reads no clock, no configuration and no local disk state besides
//     the replicated one; which node asks ([Machine.Apply]'s self) decides which answers are built, never what happens.
//   - A command is executed at most once, however often raft commits it: every request id passes a replicated window.
//   - A command is decided before it writes: it changes everything it says, or nothing.
//   - What one flush makes durable is the state at an entry boundary: revisions, membership, dedupe windows, applied
//     index and history hash travel in one bbolt transaction. Between flushes the log is what makes entries durable.
//   - An error of a command (the client's mistake) is part of the replicated history. Any other error (damage, an entry
//     that cannot be understood) stops the machine for good: it may not guess where its peers do not.
//
// A Machine belongs to one goroutine, the apply lane. A [View] is immutable and may be read from any.
//
// # The entry
//
// One normal raft entry carries a batch of commands. An empty entry (a leader's first) only moves the index. All
// integers are little endian; uvarint is encoding/binary's.
//
//	offset  size     field
//	0       1        version, 2
//	1       uvarint  number of commands, then for each of them
//	        8        request id: member
//	        uvarint  request id: epoch (grows with every boot of that member)
//	        uvarint  request id: counter (grows within an epoch)
//	        uvarint  0, or the only term of entries in which the command counts
//	        uvarint  length of the request
//	        ...      request: an encoded etcdserverpb.InternalRaftRequest, which never begins with 0, or
//	                 0, 1: a check of the replicas' histories after this entry
//	                 0, 2, 8 bytes index, 8 bytes hash: what the command's member noted at the check at that index
//
// # The state
//
// The buckets are etcd's. `key` and its bookkeeping belong to mvcc, `lease` to lease; apply owns
//
//	bucket   key                content
//	members  member id, hex     etcd's JSON of a member
//	alarm    encoded AlarmMember  nothing: the key says it all
//	meta     consistent_index   applied index, 8 bytes big endian
//	meta     term               its term, 8 bytes big endian
//	meta     confState          JSON of raftpb.ConfState
//	meta     historyCheck       the newest comparison of histories; see below
//	meta     quorumState        what etcd has no place for; see below
//	meta     dedupe/<hex id>    the dedupe window of one member; see below
//
// All of it is read once, at Open, and checked against the checksums that quorumState and the windows carry.
//
// quorumState, 61 bytes, little endian:
//
//	offset  size  field
//	0       1     version, 4
//	1       8     cluster id
//	9       8     applied index
//	17      8     term
//	25      8     history hash
//	33      4     number of dedupe windows
//	37      4     number of leases
//	41      4     CRC32C of the confState value
//	45      4     CRC32C of the members' JSON list in order of ids
//	49      4     CRC32C of the alarms' keys, in order of types and members
//	53      4     CRC32C of the historyCheck value
//	57      4     CRC32C of bytes 0 to 56
//
// historyCheck, 26 bytes and 16 for each report, little endian:
//
//	offset  size  field
//	0       1     version, 1
//	1       8     index of the check's entry, 0 if there was none
//	9       8     this state's own history hash after that entry; all else here is the same on all replicas
//	17      1     1 if there is a verdict, plus 2 if something else than checks and reports was applied since
//	18      8     the verdict: the hash that a majority of the voters reported
//	26      8     member id, and the 8 bytes of the hash that it reported; so on, in order of ids
//
// dedupe/<id>, 2,069 bytes, little endian:
//
//	offset  size  field
//	0       1     version, 1
//	1       8     epoch
//	9       8     highest counter seen in that epoch
//	17      2048  bitmap: bit (counter mod 16384) is set when that counter was seen; it covers the highest counter
//	              and the 16,383 below it
//	2065    4     CRC32C of the key and bytes 0 to 2064
package apply
