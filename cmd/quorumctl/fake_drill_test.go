package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/drill"
	drillcheck "github.com/quorumkv/quorumkv/internal/drill/check"
	"github.com/quorumkv/quorumkv/internal/drill/history"
	drillreport "github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/internal/fault"
)

// fakeDrills are drills that pass, unless they are told otherwise, without doing anything.
type fakeDrills struct {
	verdict drillreport.Verdict // "": passed
	refusal string              // why none can be run, "" when it can
}

// engine makes what the commands use of it. What is asked of it is written down with the requests of f, if there is one.
func (d fakeDrills) engine(t *testing.T, f *fake) drillEngine {
	if d.verdict == "" {
		d.verdict = drillreport.Passed
	}
	record := func(format string, args ...any) {
		if f != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.requests = append(f.requests, fmt.Sprintf(format, args...))
		}
	}
	return drillEngine{
		scenarios: fakeScenarios,
		run: func(_ context.Context, c drill.Cluster, s drill.Scenario, o drill.Options, obs drill.Observer) (
			*drillreport.Report, *history.History, error) {
			record("drill %s, %d rounds, %d clients, %v, seed %d", s.Name, o.Rounds, o.Clients, o.Duration, o.Seed)
			obs.Observe(drill.Progress{Phase: "checking that the cluster is healthy"})
			if d.refusal != "" {
				return nil, nil, errors.New(d.refusal)
			}
			for at := range 7 {
				p := drill.Progress{Elapsed: time.Duration(at) * time.Second, Phase: "round 1 of 1", Round: 1, Rounds: 1,
					Leader: "n1", Term: 2, Members: []drill.MemberProgress{{Name: "n1", OKPerSecond: 10, Reachable: true}}}
				if at == 3 {
					p.Line = "n1 is cut off from the others"
				}
				obs.Observe(p)
			}
			return fakeReport(s, o, d.verdict), fakeHistory(), nil
		},
		judge: func(*history.History) drillcheck.Result {
			r := drillcheck.Result{Checks: []drillreport.Check{
				{Promise: "no lost write", Means: "What was acknowledged is there.", Looked: "12,304 operations"}}}
			if d.verdict == drillreport.Violated {
				r.Checks[0].Violations = 1
				r.Violations = fakeViolations()
			}
			return r
		},
		startLocal: func(_ context.Context, m localMembers) (*drillCluster, error) {
			record("start %d members of %q, keep their data: %v", m.count, m.server, m.keep)
			logs := t.TempDir()
			for _, name := range []string{"n1", "n2"} { // n3 has not logged anything
				if err := os.WriteFile(filepath.Join(logs, name+".log"), []byte(name+" started\n"), 0o644); err != nil {
					return nil, err
				}
			}
			c := &drillCluster{Cluster: fakeCluster{logs: logs}, close: func() error { record("close"); return nil }}
			if m.keep {
				c.data = "/tmp/kept"
			}
			return c, nil
		},
		reach: func(_ context.Context, s settings, token string) (*drillCluster, error) {
			record("reach with token %q", token)
			return &drillCluster{Cluster: fakeCluster{}, close: func() error { record("close"); return nil }}, nil
		},
	}
}

func fakeScenarios() []drill.Scenario {
	return []drill.Scenario{
		{
			Name: "failover", Title: "The leader fails", Short: "Kill or isolate the leader",
			Does: "In each round the leader is cut off from the others, until they have elected another one. Clients go on " +
				"with all members meanwhile, and their requests are recorded.",
			Proves:         "No acknowledged write is lost when the leader fails, and writes go on soon.",
			NotProved:      "That two members may fail at once.",
			Marks:          []string{"write gap, p50: 2 s or less", "write gap, p99: 3.5 s or less"},
			NeedsProcesses: false,
		},
		{
			Name: "rolling-restart", Title: "One member after the other restarts", Short: "Restart the members in turn",
			Does: "Each member is stopped and started again.", Proves: "An upgrade costs no write.", NeedsProcesses: true,
		},
		{Name: "split-brain", Title: "Two sides", Short: "Cut the old leader off, with clients on both sides"},
	}
}

func fakeReport(s drill.Scenario, o drill.Options, v drillreport.Verdict) *drillreport.Report {
	r := &drillreport.Report{
		Scenario: s.Name, Title: s.Title, Verdict: v, Summary: "It was only a rehearsal of the rehearsal.",
		Started: time.Date(2026, 11, 26, 15, 30, 12, 0, time.UTC), Duration: 6 * time.Second, Command: o.Command, Seed: o.Seed,
	}
	if v == drillreport.Violated {
		r.Violations = fakeViolations()
	}
	return r
}

func fakeViolations() []history.Violation {
	return []history.Violation{{Promise: "no lost write", Text: "put a=1 was acknowledged at revision 7, which has b=2",
		Ops: []history.Op{{ID: 3, Client: 1, Member: "n1", Kind: history.Put, Key: "a", Value: "1", Outcome: history.OK, Revision: 7}}}}
}

func fakeHistory() *history.History {
	return &history.History{Prefix: "drill/", Members: []string{"n1", "n2", "n3"}, First: 1, Last: 9}
}

// leaveHistory makes the folder of a drill that was run before.
func leaveHistory(t *testing.T, path string) {
	t.Helper()
	folder, err := newDrillFolder(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := folder.write(fakeReport(drill.Scenario{}, drill.Options{}, drillreport.Passed), fakeHistory()); err != nil {
		t.Fatal(err)
	}
}

// fakeCluster has three members that take every fault. Its processes are there if it has logs.
type fakeCluster struct{ logs string }

func (fakeCluster) Members() []drill.Member {
	return []drill.Member{{Name: "n1", ID: 1}, {Name: "n2", ID: 2}, {Name: "n3", ID: 3}}
}

func (fakeCluster) Client(int) *clientv3.Client                                      { return nil }
func (fakeCluster) SetFaults(context.Context, int, fault.Rules, time.Duration) error { return nil }

func (c fakeCluster) Processes() drill.Processes {
	if c.logs == "" {
		return nil
	}
	return fakeProcesses{logs: c.logs}
}

type fakeProcesses struct {
	drill.Processes
	logs string
}

func (p fakeProcesses) Log(i int) string { return filepath.Join(p.logs, fmt.Sprintf("n%d.log", i+1)) }
