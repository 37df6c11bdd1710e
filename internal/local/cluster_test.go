package local_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/quorumkv/quorumkv/internal/local"
	"github.com/quorumkv/quorumkv/internal/local/fakenode"
)

// What was asked for is no news; a node comes back with the same folder, ports and log.
func TestKillTerminateRestart(t *testing.T) {
	c := start(t, func(e local.Exit) { t.Errorf("%s reported: %s", e.Node.Name, e.Reason) })
	n := c.Nodes()[0]
	first := n.PID()
	if pgid, err := syscall.Getpgid(first); err != nil || pgid != first {
		t.Errorf("its process group is %d (%v): a Ctrl-C of the terminal would reach it", pgid, err)
	}
	if err := n.Start(); err == nil || !strings.Contains(err.Error(), "it runs already") {
		t.Errorf("second start: %v", err)
	}

	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	exit, ended := n.Exit()
	if n.Runs() || !ended || exit.PID != first || exit.Clean || !strings.HasPrefix(exit.Reason, "killed by signal 9") {
		t.Errorf("after Kill: runs %v, %v, %+v", n.Runs(), ended, exit)
	}
	for name, act := range map[string]func() error{
		"kill": n.Kill, "terminate": n.Terminate, "pause": n.Pause, "continue": n.Continue,
	} {
		if err := act(); !errors.Is(err, local.ErrNotRunning) {
			t.Errorf("%s of an ended node: %v", name, err)
		}
	}

	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	awaitHealthy(t, c)
	if n.PID() == first || !n.Runs() {
		t.Errorf("process %d after the restart, %d before", n.PID(), first)
	}
	if err := n.Terminate(); err != nil {
		t.Fatal(err)
	}
	<-n.Done()
	if exit, _ := n.Exit(); !exit.Clean || exit.LastLine() != "fake node n1 got terminated" {
		t.Errorf("after SIGTERM: %+v", exit)
	}
	log, err := os.ReadFile(n.Log)
	if err != nil || strings.Count(string(log), "fake node n1 starts") != 2 {
		t.Errorf("want the log of both runs (%v):\n%s", err, log)
	}
}

func TestPause(t *testing.T) {
	c := start(t, func(e local.Exit) { t.Errorf("%s reported: %s", e.Node.Name, e.Reason) })
	n := c.Nodes()[1]
	if leader := c.Leader(t.Context()); leader != n {
		t.Fatalf("%v leads", leader)
	}
	if err := n.Pause(); err != nil {
		t.Fatal(err)
	}
	if !n.Runs() {
		t.Error("a paused node does not run")
	}
	if leader := c.Leader(t.Context()); leader != nil {
		t.Errorf("a paused node answers: %v", leader.Name)
	}
	if err := n.Continue(); err != nil {
		t.Fatal(err)
	}
	if leader := c.Leader(t.Context()); leader != n {
		t.Errorf("a node that goes on does not answer: %v", leader)
	}
	for name, end := range map[string]func() error{"SIGTERM": n.Terminate, "SIGKILL": n.Kill} {
		if err := errors.Join(n.Pause(), end()); err != nil {
			t.Fatal(err)
		}
		<-n.Done()
		if err := n.Start(); err != nil {
			t.Fatalf("after %s: %v", name, err)
		}
		awaitHealthy(t, c)
	}
}

func TestDied(t *testing.T) {
	died := make(chan local.Exit, 1)
	c := start(t, func(e local.Exit) { died <- e })
	n := c.Nodes()[2]
	syscall.Kill(n.PID(), syscall.SIGKILL)
	e := <-died
	if e.Node != n || e.PID != n.PID() || e.Reason != "killed by signal 9 (killed), as kill -9 and a system out of memory do" ||
		!slices.Equal(e.LastLines, []string{"fake node n3 starts"}) {
		t.Errorf("%+v", e)
	}

	t.Setenv(fakenode.Broken, "n3")
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	// Of this run alone, though the log holds both.
	want := []string{"fake node n3 starts", "the disk is on fire"}
	if e := <-died; e.Reason != "exit status 3" || !slices.Equal(e.LastLines, want) {
		t.Errorf("%+v", e)
	}
}

func TestStopOrder(t *testing.T) {
	c := start(t, nil)
	var names []string
	for _, n := range c.StopOrder(t.Context()) {
		names = append(names, n.Name)
	}
	if !slices.Equal(names, []string{"n1", "n3", "n2"}) {
		t.Errorf("%v", names)
	}
}

func TestAwaitHealthyFails(t *testing.T) {
	t.Setenv(asProcess, "node")
	t.Setenv(fakenode.Sick, "n3")
	c, err := open(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	// Until the two are healthy, then no longer: however slow the machine is, the reason is the third.
	ctx, cancel := context.WithCancel(t.Context())
	err = c.AwaitHealthy(ctx, time.Minute, local.Progress{Healthy: func(_ *local.Node, count int) {
		if count == 2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	err = c.AwaitHealthy(t.Context(), time.Second, local.Progress{})
	if err == nil || !strings.Contains(err.Error(), "not healthy after 1s: ") || !strings.Contains(err.Error(), c.Dir()) {
		t.Errorf("limit: %v", err)
	}
	killed := c.Nodes()[0]
	time.AfterFunc(0, func() { killed.Kill() })
	err = c.AwaitHealthy(t.Context(), time.Minute, local.Progress{})
	if err == nil || !strings.HasPrefix(err.Error(), "n1 ended before it was healthy (killed by signal 9") {
		t.Errorf("ended: %v", err)
	}
}

func TestClose(t *testing.T) {
	c := start(t, func(e local.Exit) { t.Errorf("%s reported: %s", e.Node.Name, e.Reason) })
	if err := c.Nodes()[0].Pause(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes() {
		if n.Runs() {
			t.Errorf("%s runs", n.Name)
		}
	}
	if _, err := os.Stat(c.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary folder is still there: %v", err)
	}
	if err := c.Start(); !errors.Is(err, local.ErrClosed) {
		t.Errorf("start: %v", err)
	}

	c = start(t, nil)
	c.Keep()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Nodes()[0].Log); err != nil {
		t.Error(err)
	}
	os.RemoveAll(c.Dir())
}

func TestSettings(t *testing.T) {
	c, err := open(nil, map[string]string{"enable-drills": "true", "drills-token": "s3: cret", "log-format": "json"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, n := range c.Nodes() {
		text, err := os.ReadFile(n.Config)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := yaml.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v in:\n%s", err, text)
		}
		for key, want := range map[string]string{
			"enable-drills": "true", "drills-token": "s3: cret", "log-format": "json",
			"name": n.Name, "data-dir": n.Data, "listen-client-urls": n.ClientURL(), "listen-peer-urls": n.PeerURL(),
		} {
			if got[key] != want {
				t.Errorf("%s: %s is %q, want %q", n.Name, key, got[key], want)
			}
		}
	}
}

// A runner kills, pauses and restarts nodes while others look: run with -race.
func TestConcurrentUse(t *testing.T) {
	c := start(t, func(e local.Exit) { t.Errorf("%s reported: %s", e.Node.Name, e.Reason) })
	ctx, cancel := context.WithCancel(t.Context())
	var looking sync.WaitGroup
	for _, n := range c.Nodes() {
		looking.Go(func() {
			for ctx.Err() == nil {
				n.Runs()
				n.PID()
				n.Exit()
				select {
				case <-n.Done():
				default:
				}
			}
		})
	}
	for range 5 {
		for _, n := range c.Nodes() {
			if err := errors.Join(n.Pause(), n.Continue(), n.Kill(), n.Start()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	looking.Wait()
}
