// Package differential runs random histories of requests against a real etcd and against QuorumKV and compares every
// answer: header revision, keys, values, counts, leases, error code and error text, the headers inside transactions, and
// HashKV at several revisions. Watch streams, expiry, locks and elections have histories of their own, below.
//
// etcd is a single node without fsync, QuorumKV a cluster of three. Requests go to all three nodes, over several
// connections each; linearizable ones must not show the difference. A history is a sequence of steps. A step is
//
//   - one request of any kind, or
//   - reads of any kind, sent at once, or
//   - writes and reads that are sent at once. QuorumKV decides their order, their answers tell it (by revision), and etcd
//     is then asked in that order: there has to be one in which all answers are right. Such requests have no options
//     whose error would depend on the order.
//
// Serializable reads and HashKV go to a node that has answered with the newest revision, which has what it answered. A
// history starts with empty stores; what earlier histories wrote is compacted. Some are interrupted by a restart of both
// systems, in order or by SIGKILL, and some start with new data directories.
//
// What need not agree is in the table in decisions.go and is printed by -v, with the number of times that each exception
// was made. All kinds of requests, options and errors in coverage.go have to occur in a run of full length.
//
// A history with a difference is repeated and shrunk: fewer steps, one after the other instead of at once, fewer options.
// The result is a script (package script). It is printed and left in testdata, where TestReplay runs it on a new etcd and
// a new QuorumKV; a copy in e2e/testdata/kv becomes a golden test, for which etcd writes the expectations.
//
// # Streams
//
// In TestStreams a history has, besides requests, three Watch streams on each side, ours on three nodes: watches from now,
// the past, the future and before the compaction, with ids chosen and given, filters, prev_kv and fragments, cancels,
// requests for progress, streams that move to another node. Control responses are compared with each other. Events are
// held, on both sides, against etcd's own full history, which a stream of its own brings: each watch has to get exactly
// what is due, from its first revision on. As they arrive, in whatever batches, revisions have to rise, be whole in one
// response but for fragments, and lie at or below the header's; progress may not name a revision with something still to
// come. The exceptions are streamDecisions. A difference becomes a script in testdata/streams (see printActs) for
// TestReplayStreams.
//
// TestShortLeases lets leases expire on both. TestLocksAndElections plays random contests through the Lock and Election
// services; a model knows whose call has to be answered when, and every answer is compared.
//
//	go test -count=1 -v ./differential                                 # 52,000 requests, about two minutes
//	QUORUMKV_SOAK=30m go test -count=1 -timeout 0 -run '^(TestDifferential|TestStreams)$' ./differential
//	go test -count=1 -run TestReplay/failed-42.txt ./differential
package differential
