package main

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestLockPassesTerminationOn sends SIGTERM while a command holds a lock: the command hears of it, its exit code counts,
// and the lock is given back after its end. SIGINT is the terminal's to send to both.
func TestLockPassesTerminationOn(t *testing.T) {
	f := startFake(t)
	var stdout, stderr bytes.Buffer
	a := newApp(strings.NewReader(""), &stdout, &stderr, []string{"PATH=/usr/bin:/bin"})
	signals := make(chan (chan<- os.Signal), 1)
	a.notify = func(c chan<- os.Signal, _ ...os.Signal) { signals <- c }
	a.output = &firstWrite{w: &stdout, then: func() { <-signals <- syscall.SIGTERM }}
	code := a.run([]string{"--endpoints", f.address, "lock", "nightly", "--", "sh", "-c",
		`trap 'echo ends; exit 9' TERM; echo runs; for i in $(seq 500); do sleep 0.01; done`})
	if code != 9 || stdout.String() != "runs\nends\n" {
		t.Errorf("exit code %d, output %q\n%s", code, stdout.String(), stderr.String())
	}
	requests := strings.Join(f.take(), "\n")
	if deleted, revoked := strings.Index(requests, "DeleteRange"), strings.Index(requests, "LeaseRevoke"); deleted < 0 ||
		revoked < deleted {
		t.Errorf("the lock is not given back:\n%s", requests)
	}
}
