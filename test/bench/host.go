package main

import (
	"fmt"
	"io"
	"os"
)

// host stands in for testing.T: it carries a command that uses the cluster harness and cleans up behind it.
type host struct {
	out      io.Writer
	failed   bool
	stopped  bool     // by the user: no failure to explain
	cleanups []func() // run last first
}

func newHost(out io.Writer) *host { return &host{out: out} }

// quit unwinds to run.
type quit struct{}

// run calls f, then cleans up, and returns the exit code.
func (h *host) run(f func(*host)) (code int) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(quit); !ok {
				defer panic(r)
			}
			h.failed = true
		}
		for i := len(h.cleanups) - 1; i >= 0; i-- {
			h.cleanups[i]()
		}
		if h.failed {
			code = 1
		}
	}()
	f(h)
	return 0
}

func (h *host) Helper() {}

func (h *host) Logf(format string, args ...any) { fmt.Fprintf(h.out, format+"\n", args...) }

func (h *host) Errorf(format string, args ...any) {
	h.failed = true
	h.Logf(format, args...)
}

// Fatalf ends the run; only the goroutine that runs it may call this.
func (h *host) Fatalf(format string, args ...any) {
	h.Errorf("bench: "+format, args...)
	panic(quit{})
}

// stop ends the run because the user said so, under the same rule as Fatalf.
func (h *host) stop() {
	h.stopped = true
	panic(quit{})
}

// Failed is what decides whether clusters show their logs.
func (h *host) Failed() bool { return h.failed && !h.stopped }

func (h *host) Cleanup(f func()) { h.cleanups = append(h.cleanups, f) }

func (h *host) TempDir() string {
	dir, err := os.MkdirTemp("", "quorumkv-bench-")
	if err != nil {
		h.Fatalf("make a temporary directory: %v", err)
	}
	h.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
