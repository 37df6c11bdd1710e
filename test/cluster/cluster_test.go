package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLife walks one cluster through everything the harness can do to it.
func TestLife(t *testing.T) {
	if testing.Short() {
		t.Skip("the end-to-end tests use all of this")
	}
	c := Start(t, Config{})
	c.AwaitHealthy()
	leader, term := c.LeaderAfter(0)
	put(t, c, "a", "1")

	c.Nodes[leader].Kill()
	second, secondTerm := c.LeaderAfter(term)
	if second == leader || secondTerm <= term {
		t.Fatalf("leader %d in term %d after leader %d of term %d was killed", second, secondTerm, leader, term)
	}
	put(t, c, "b", "2")
	if c.Nodes[leader].Restart() <= 0 || c.Leader() != second {
		t.Errorf("a restarted node took leadership back")
	}

	paused := c.Nodes[second]
	generation := paused.Generation()
	paused.Pause()
	if _, err := c.Status(second); err == nil {
		t.Errorf("a paused node answers")
	}
	c.LeaderAfter(secondTerm)
	put(t, c, "c", "3")
	paused.Continue()
	if revision := c.AwaitEqual(); revision != 4 {
		t.Errorf("revision is %d after three puts", revision)
	}
	if !paused.Running() || paused.Generation() != generation {
		t.Errorf("the paused node was replaced by another process")
	}

	exit := paused.Stop()
	if c.Program.IsEtcd() {
		exit.Code++ // etcd ends by raising the signal again
	}
	if exit.Code != 0 {
		t.Errorf("exit code %d after SIGTERM", exit.Code)
	}
	paused.Restart()
	c.StopAll()
	c.StartAll()
	c.KillAll()
	c.StartAll()
	if revision := c.AwaitEqual(); revision != 4 {
		t.Errorf("revision is %d after restarts", revision)
	}
	if v, ok := c.Nodes[0].Metric("etcd_server_has_leader"); !ok || v != 1 {
		t.Errorf("etcd_server_has_leader is %v (found: %v)", v, ok)
	}
}

func put(t *testing.T, c *Cluster, key, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := c.Client(c.Leader()).Put(ctx, key, value); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

// TestChildrenDieWithUs kills a test binary that runs a child and looks for the child.
func TestChildrenDieWithUs(t *testing.T) {
	if os.Getenv("CLUSTER_TEST_PARENT") != "" {
		child := exec.Command("sleep", "1000")
		if err := launch(child); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("child %d\n", child.Process.Pid)
		select {}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(exe, "-test.run=^TestChildrenDieWithUs$")
	parent.Env = append(os.Environ(), "CLUSTER_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	log := newOutputLog()
	go log.fill(out)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	line, ok := log.await(ctx, "child ")
	if !ok {
		t.Fatal("no child was started")
	}
	pid, err := strconv.Atoi(strings.TrimPrefix(line, "child "))
	if err != nil {
		t.Fatal(err)
	}
	handle, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(handle)

	parent.Process.Kill()
	ended := []unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}} // readable once the child has ended
	n, err := unix.Poll(ended, 10_000)
	for err == unix.EINTR { // the runtime's own signals interrupt it
		n, err = unix.Poll(ended, 10_000)
	}
	if n != 1 {
		unix.Kill(pid, unix.SIGKILL)
		t.Fatalf("the child outlives its parent (poll: %d, %v)", n, err)
	}
	parent.Wait()
}

func TestOutputLog(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log := newOutputLog()
	go func() { log.fill(r); r.Close() }()
	found := make(chan string)
	go func() {
		line, _ := log.await(context.Background(), "line 3 ")
		found <- line
	}()
	fmt.Fprint(w, "line 2 of output\nline 3 of output\nline 4 of output\n")
	if line := <-found; line != "line 3 of output" {
		t.Errorf("awaited line is %q", line)
	}
	for i := range 3 * keepLines {
		fmt.Fprintf(w, "line %d of many\n", i)
	}
	fmt.Fprint(w, "last words")
	w.Close()
	if line, ok := log.await(context.Background(), "last"); !ok || line != "last words" {
		t.Errorf("unfinished line is %q (found: %v)", line, ok)
	}
	if line, ok := log.await(context.Background(), "never"); ok {
		t.Errorf("found %q", line)
	}
	if tail := log.tail(2); len(tail) != 2 || tail[1] != "last words" {
		t.Errorf("tail is %q", tail)
	}
	if held := len(log.tail(1 << 30)); held > 2*keepLines {
		t.Errorf("%d lines held", held)
	}
}
