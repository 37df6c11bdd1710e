// Package cluster runs real server processes as a cluster on loopback and gives tests a hold on them: start, stop,
// kill, pause, restart, ask who leads, read the logs.
//
// The same harness runs QuorumKV and a real etcd, with the same flags. A test is written once, proven right against
// etcd and then pointed at QuorumKV:
//
//	QUORUMKV_TEST_SERVER=etcd go test ./e2e     # the oracle
//	go test ./e2e                               # bin/quorumkv, or the binary that QUORUMKV_BIN names
//
// A cluster belongs to one test:
//
//	c := cluster.Start(t, cluster.Config{Nodes: 3})
//	c.Nodes[c.Leader()].Kill()
//	c.Nodes[0].Restart()
//
// Every failure inside the harness ends the test through T.Fatalf, so callers on the test's own goroutine need no error
// handling; none of the methods that can fail may be called from another goroutine.
//
// Processes never outlive the test. Cleanup kills them; if the test binary itself dies, by timeout or by signal, the
// kernel does (Pdeathsig, see launch.go).
//
// Goroutines: one launcher per test binary, and for each process one that reads its output and one that waits for it.
// The last two end with the process.
package cluster
