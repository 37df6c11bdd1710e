// Package drill rehearses what production will do to a cluster, and proves from what its clients saw that nothing was lost.
//
// A [Scenario] says what is done to a [Cluster] in each round; [Run] loads the cluster meanwhile (package load), records
// everything (package history), heals, checks (package check) and makes a report (package report).
//
// Invariants: no fault outlives the drill, whatever ends it; nothing is written outside the drill's own key prefix, and
// that is empty again in the end.
package drill

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/fault"
)

// Cluster is what is drilled: members that run elsewhere, or processes of our own.
type Cluster interface {
	// Members are all members, in an order that never changes.
	Members() []Member
	// Client is a client of one member alone, which asks nobody else. The cluster closes it.
	Client(i int) *clientv3.Client
	// SetFaults replaces the faults of a member by rules that end by themselves after ttl. Rules without a fault heal.
	SetFaults(ctx context.Context, i int, rules fault.Rules, ttl time.Duration) error
	// Processes is nil when the members are not ours to stop.
	Processes() Processes
}

// Member is one member of the cluster.
type Member struct {
	Name     string
	ID       uint64
	Endpoint string // host:port or URL, as the user knows it
}

// Processes are members that are our own children.
type Processes interface {
	Kill(i int) error  // SIGKILL; returns when it is gone
	Stop(i int) error  // SIGTERM; returns when it is gone
	Start(i int) error // again, with the same data; returns at once
	Pause(i int) error // SIGSTOP
	Continue(i int) error
	// Log returns the path of what a member logs.
	Log(i int) string
}

// Observer hears how the drill goes, from one goroutine, about four times a second and at every change of phase.
type Observer interface {
	Observe(Progress)
}

// Progress is the drill as it stands.
type Progress struct {
	Elapsed, Expected time.Duration // Expected is about when it will be over
	Phase             string        // "checking that the cluster is healthy", "round 2 of 5: healing", "checking the history"
	Round, Rounds     int
	Fault             string // what is being done to whom, "" for nothing
	Struck            []string
	Leader            string // by name, "" while there is none
	Term              uint64
	WritesPerSecond   int // acknowledged, over the last second
	ReadsPerSecond    int
	ErrorsPerSecond   int
	Members           []MemberProgress
	LongestGap        time.Duration // without an acknowledged write, so far
	Violations        int
	// Line is news for a log, in words, "" when there is none: "n2 leads in term 5, 1.2 s after n1 was killed".
	Line string
}

// MemberProgress is what clients of one member get.
type MemberProgress struct {
	Name            string
	OKPerSecond     int
	ErrorsPerSecond int
	Reachable       bool
	Leads           bool
}
