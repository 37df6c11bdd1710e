// Package raftnode orders commands and makes them durable: it is the loop that owns raft's state machine.
//
// A [Node] is deterministic. All of its methods run on the loop of its env.Env (one at a time, never blocking), every
// effect goes through that Env, and results come back through callbacks, also on the loop. The server wraps it in
// blocking calls; the simulator drives it from a seed.
//
// Who owns what:
//
//	loop         RawNode, the in-memory log, pending requests, readers, transfers of snapshots and of leadership
//	lane wal     the write-ahead log and the hard state
//	lane apply   the state machine and its bbolt file (also: switching to an installed snapshot)
//	lane flush   commits to that file, one at a time, while lane apply goes on (flush.go)
//	lane snap    snapshot files: making, reading, receiving, staging
//	lane scrub   reading of all files, in search of damage
//	lane peers   whom the node has met
//
// The rules that the order of the code keeps:
//
//   - Entries and votes are durable before any message that relies on them leaves the node: such messages are the
//     Responses of MsgStorageAppend and are delivered only after the lane reports success (append.go).
//   - Nobody is listened to before it is durable that this run speaks for its member (admit.go).
//   - An entry is applied only when committed, in index order, once; a client is answered only after its own node
//     applied the command (apply.go, pending.go).
//   - A linearizable read is served from a state at least as new as the commit index that a quorum confirmed after the
//     read arrived (readindex.go).
//   - The log is compacted only below what the state file holds durably (snapshot.go).
//   - After a failed write or fsync nothing is acknowledged any more: the node fails as a whole ([Node.fail]).
package raftnode
