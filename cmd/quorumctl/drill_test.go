package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill"
	drillcheck "github.com/quorumkv/quorumkv/internal/drill/check"
	"github.com/quorumkv/quorumkv/internal/drill/history"
	drillreport "github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/internal/fault"
)

// rehearsal is one run of a drill with an engine whose run is another one.
type rehearsal struct {
	stdout  bytes.Buffer
	stderr  announcements
	signals chan chan<- os.Signal // where the command waits for signals, once it does
	app     *app
}

// announcements are a standard error that tells when the drill has said that it stops.
type announcements struct {
	bytes.Buffer
	stopping chan struct{} // closed then
}

func (a *announcements) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("Ctrl-C again leaves at once")) {
		close(a.stopping)
	}
	return a.Buffer.Write(p)
}

func newRehearsal(t *testing.T, run func(context.Context, drill.Cluster, drill.Options) (*drillreport.Report, error)) *rehearsal {
	r := &rehearsal{signals: make(chan chan<- os.Signal, 1), stderr: announcements{stopping: make(chan struct{})}}
	r.app = newApp(strings.NewReader(""), &r.stdout, &r.stderr, nil)
	r.app.notify = func(c chan<- os.Signal, _ ...os.Signal) { r.signals <- c }
	r.app.drills = fakeDrills{}.engine(t, nil)
	r.app.drills.run = func(ctx context.Context, c drill.Cluster, s drill.Scenario, o drill.Options, _ drill.Observer) (
		*drillreport.Report, *history.History, error) {
		report, err := run(ctx, c, o)
		return report, fakeHistory(), err
	}
	return r
}

// insist sends SIGINT until a drill is left: the second one comes too soon.
func (r *rehearsal) insist() {
	c := <-r.signals
	for range 3 {
		c <- syscall.SIGINT
	}
}

// TestDrillInterrupted sends SIGINT to a drill, which heals and has a report all the same; the exit code is 130, but 1
// when a promise was broken.
func TestDrillInterrupted(t *testing.T) {
	for verdict, want := range map[drillreport.Verdict]int{drillreport.Interrupted: 130, drillreport.Violated: 1} {
		var r *rehearsal
		r = newRehearsal(t, func(ctx context.Context, _ drill.Cluster, o drill.Options) (*drillreport.Report, error) {
			(<-r.signals) <- syscall.SIGINT
			<-ctx.Done()
			<-r.stderr.stopping
			return fakeReport(fakeScenarios()[0], o, verdict), nil
		})
		dir := filepath.Join(t.TempDir(), "report")
		code := r.app.run([]string{"drill", "failover", "--report", dir})
		if code != want {
			t.Errorf("%s: exit code %d, want %d\n%s", verdict, code, want, r.stderr.String())
		}
		if _, err := os.Stat(filepath.Join(dir, historyFile)); err != nil {
			t.Error(err)
		}
	}
}

// TestDrillInterruptedEarly sends SIGTERM before the drill has done anything: there is no report, and no folder.
func TestDrillInterruptedEarly(t *testing.T) {
	var r *rehearsal
	r = newRehearsal(t, func(ctx context.Context, _ drill.Cluster, _ drill.Options) (*drillreport.Report, error) {
		(<-r.signals) <- syscall.SIGTERM
		<-ctx.Done()
		return nil, ctx.Err()
	})
	dir := filepath.Join(t.TempDir(), "report")
	code := r.app.run([]string{"drill", "failover", "--report", dir})
	if code != 143 || !strings.Contains(r.stderr.String(), "Error: interrupted before the drill began\n") {
		t.Errorf("exit code %d\n%s", code, r.stderr.String())
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
}

// TestDrillLeftLocal leaves a drill on a cluster of its own: no rules outlive the members, which are killed.
func TestDrillLeftLocal(t *testing.T) {
	healing := make(chan struct{})
	defer close(healing)
	var r *rehearsal
	r = newRehearsal(t, func(ctx context.Context, c drill.Cluster, _ drill.Options) (*drillreport.Report, error) {
		go r.insist()
		<-healing
		return nil, nil
	})
	closed := false
	start := r.app.drills.startLocal
	r.app.drills.startLocal = func(ctx context.Context, m localMembers) (*drillCluster, error) {
		c, err := start(ctx, m)
		c.close = func() error { closed = true; return nil }
		return c, err
	}
	dir := filepath.Join(t.TempDir(), "report")
	code := r.app.run([]string{"drill", "failover", "--local", "3", "--report", dir})
	want := "\nError: left without healing; its members are killed\nHint: the members' logs are in " + dir + "\n"
	if code != 130 || !closed || !strings.Contains(r.stderr.String(), want) {
		t.Errorf("exit code %d, closed: %v\n%s", code, closed, r.stderr.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "n1.log")); err != nil {
		t.Error(err)
	}
}

// TestDrillLeft sends SIGINT until a drill that cannot heal is left: it says which rules hold and when they end.
func TestDrillLeft(t *testing.T) {
	const want = `(?m)^Error: left without healing; the fault rules of n1, n3 end by themselves within (39|40)s, at \d\d:\d\d:\d\d$`
	healing := make(chan struct{})
	defer close(healing)
	var r *rehearsal
	r = newRehearsal(t, func(ctx context.Context, c drill.Cluster, _ drill.Options) (*drillreport.Report, error) {
		cut := fault.Rules{Links: []fault.Link{{In: true, Out: true, Drop: 1}}}
		for i, ttl := range []time.Duration{20 * time.Second, 30 * time.Second, 40 * time.Second} {
			if err := c.SetFaults(ctx, i, cut, ttl); err != nil {
				return nil, err
			}
		}
		if err := c.SetFaults(ctx, 1, fault.Rules{}, 0); err != nil {
			return nil, err
		}
		go r.insist()
		<-healing
		return nil, nil
	})
	code := r.app.run([]string{"drill", "failover", "--report", filepath.Join(t.TempDir(), "report")})
	if code != 130 || !regexp.MustCompile(want).MatchString(r.stderr.String()) {
		t.Errorf("exit code %d\n%s", code, r.stderr.String())
	}
}

// TestDrillLeavesFiles looks at what a drill leaves: where nobody says where, in a folder named after it and the time.
func TestDrillLeavesFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	r := newRehearsal(t, func(_ context.Context, _ drill.Cluster, o drill.Options) (*drillreport.Report, error) {
		return fakeReport(fakeScenarios()[0], o, drillreport.Passed), nil
	})
	if code := r.app.run([]string{"drill", "run", "failover", "--local", "3"}); code != 0 {
		t.Fatalf("exit code %d\n%s", code, r.stderr.String())
	}
	folders, err := filepath.Glob("drill-failover-2???????-??????")
	if err != nil || len(folders) != 1 {
		t.Fatalf("folders: %v, %v", folders, err)
	}
	entries, err := os.ReadDir(folders[0])
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "history.jsonl.gz n1.log n2.log report.html report.json" {
		t.Errorf("files: %s", got)
	}
	for _, name := range names[:len(names)-1] {
		if !strings.Contains(r.stdout.String(), filepath.Join(folders[0], name)) {
			t.Errorf("%s is not named:\n%s", name, r.stdout.String())
		}
	}
}

// TestDrillJSON has nothing but report.json on standard output.
func TestDrillJSON(t *testing.T) {
	r := newRehearsal(t, func(_ context.Context, _ drill.Cluster, o drill.Options) (*drillreport.Report, error) {
		return fakeReport(fakeScenarios()[0], o, drillreport.Missed), nil
	})
	dir := filepath.Join(t.TempDir(), "report")
	if code := r.app.run([]string{"drill", "failover", "--json", "--report", dir}); code != 1 {
		t.Errorf("exit code %d\n%s", code, r.stderr.String())
	}
	want, err := os.ReadFile(filepath.Join(dir, drillreport.DataName))
	if err != nil || r.stdout.String() != string(want) {
		t.Errorf("standard output is not the report, %v:\n%s", err, r.stdout.String())
	}
	var report drillreport.Report
	if err := json.Unmarshal(want, &report); err != nil || report.Verdict != drillreport.Missed || report.Seed == 0 ||
		!strings.HasSuffix(report.Command, fmt.Sprint(" --seed ", report.Seed)) {
		t.Errorf("%+v, %v", report, err)
	}
	for _, name := range []string{drillreport.DataName, drillreport.PageName, historyFile} {
		if !strings.Contains(r.stderr.String(), filepath.Join(dir, name)) {
			t.Errorf("standard error does not say where %s is:\n%s", name, r.stderr.String())
		}
	}
}

// TestRepeatDrill parses what repeats a drill again: it is the same drill, and tells no secret.
func TestRepeatDrill(t *testing.T) {
	for line, want := range map[string]string{
		"drill failover --local 5 --rounds 2 --duration 90s --json --report x --keep": "quorumctl drill failover --local 5 " +
			"--rounds 2 --duration 1m30s --seed 7",
		"drill failover --endpoints a:1,b:2 --drills-token secret --user root:secret --cacert 'my ca.pem'": "quorumctl drill " +
			"failover --cacert 'my ca.pem' --endpoints a:1,b:2 --user root --seed 7",
		"drill run failover --insecure-skip-tls-verify --clients 3 --seed 8": "quorumctl drill failover --clients 3 " +
			"--insecure-skip-tls-verify=true --seed 7",
	} {
		args, err := splitWords(line)
		if err != nil {
			t.Fatal(err)
		}
		a := newApp(nil, nil, nil, nil)
		a.drills = fakeDrills{}.engine(t, nil)
		cmd, rest, err := a.newRoot().Find(args)
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err != nil {
			t.Fatal(err)
		}
		got := repeatDrill(cmd.Flags(), "failover", 7)
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", line, got, want)
		}
		again, err := splitWords(got)
		if err != nil {
			t.Fatal(err)
		}
		cmd, rest, err = a.newRoot().Find(again[1:])
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err != nil {
			t.Fatal(err)
		}
		if twice := repeatDrill(cmd.Flags(), "failover", 7); twice != got {
			t.Errorf("repeated: %s", twice)
		}
	}
}

// TestDrillCheckForeignText judges a history that somebody has put a terminal's commands into.
func TestDrillCheckForeignText(t *testing.T) {
	r := newRehearsal(t, nil)
	r.app.drills.judge = func(*history.History) drillcheck.Result {
		return drillcheck.Result{Violations: []history.Violation{{Promise: "watch", Text: "\x1b[2Jput a=\n1"}}}
	}
	dir := filepath.Join(t.TempDir(), "report")
	leaveHistory(t, dir)
	if code := r.app.run([]string{"drill", "check", dir}); code != 1 || r.stdout.String() != "\nwatch: \\x1b[2Jput a=\\n1\n" {
		t.Errorf("exit code %d, output %q", code, r.stdout.String())
	}
}
