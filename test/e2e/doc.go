// Package e2e tests whole clusters of real processes from outside: through etcd's client and command line tool, by
// signals, and by damage to files.
//
// Everything that a client can see is first proven right against a real etcd; see package cluster for how. Expectations
// that are output live in testdata and are written by etcd:
//
//	QUORUMKV_TEST_SERVER=etcd go test ./e2e -run TestKVScripts -rewrite
//
// Tests start clusters of their own and run one after another: they are heavy, and their timing is part of what they
// report. With -short a subset of less than a minute runs.
package e2e
