// Package sim runs a whole cluster, network and disks included, in one goroutine from one seed.
//
// The nodes are the production code: the loop of raftnode, its lanes, the write-ahead log, snapshots, the state machine
// and its bbolt file. Only the env.Env differs: time is a number, files live in memory (memfs) and bbolt on a RAM disk,
// messages pass through a network that loses, delays, duplicates and cuts, and lanes take seeded time. Everything that
// happens is an event in one queue ordered by (time, sequence), so a seed replays bit for bit; a trace hash proves it.
//
// A run has two phases, after TigerBeetle's: in the first anything fails and restarts; then everything heals and the
// cluster must answer a write and converge. Seeds with disks that hang or fill up, or memory that lies, end with trials:
// that one fault alone, to be coped with in bounded time. What is checked all the while stands in check.go, each check beside what it does not cover.
//
// What is simulated is not verified here: grpc, TLS, the kernel, bbolt's own crash safety (a commit is one step).
package sim
