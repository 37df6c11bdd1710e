// Package differential runs random histories of KV requests against a real etcd and against QuorumKV and compares every
// answer: header revision, keys, values, counts, error code and error text, the headers inside transactions, and HashKV at
// several revisions.
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
//	go test -count=1 -v ./differential                                 # 52,000 requests, about a minute
//	QUORUMKV_SOAK=30m go test -count=1 -timeout 0 -run TestDifferential ./differential
//	go test -count=1 -run TestReplay/failed-42.txt ./differential
package differential
