package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// seedLimit is far beyond what a seed takes: a process that needs longer hangs.
const seedLimit = 2 * time.Minute

// hunt plays seeds, each in a process of its own since a bug may end in a panic, until one of them fails. Seeds are
// given out in order and those that were begun are played to their end, so the seed found does not depend on the number
// of processes.
type hunt struct {
	binary, healthy string
	last            uint64
	deadline        time.Time

	mu     sync.Mutex
	played uint64 // seeds given out
	best   *finding
	sick   []finding // seeds whose failure is no evidence, see try
	err    error
}

// finding is a failed seed.
type finding struct {
	seed uint64
	what string
	at   time.Time
}

// run returns the lowest seed that failed, or nil.
func (h *hunt) run(procs int) (*finding, error) {
	var wg sync.WaitGroup
	for range procs {
		wg.Go(func() {
			for {
				seed, ok := h.take()
				if !ok {
					return
				}
				h.report(h.try(seed))
			}
		})
	}
	wg.Wait()
	return h.best, h.err
}

func (h *hunt) take() (seed uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.best != nil || h.err != nil || h.played == h.last || time.Now().After(h.deadline) {
		return 0, false
	}
	h.played++
	return h.played, true
}

// twoRuns begins the violation that cmd/sim reports when a seed does not repeat.
const twoRuns = "two runs differ"

// try plays a seed with the bug and, if that fails, without. What also fails without the bug is no evidence for it, and
// neither is a seed that does not repeat: that is a fault of the simulator, and comes and goes, so that one healthy run
// does not rule it out.
func (h *hunt) try(seed uint64) (found, sick *finding, err error) {
	if found, err = play(h.binary, seed); found == nil || err != nil {
		return nil, nil, err
	}
	if strings.HasPrefix(found.what, twoRuns) {
		return nil, found, nil
	}
	if sick, err = play(h.healthy, seed); sick != nil || err != nil {
		return nil, sick, err
	}
	return found, nil, nil
}

func (h *hunt) report(found, sick *finding, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil && h.err == nil {
		h.err = err
	}
	if sick != nil {
		h.sick = append(h.sick, *sick)
	}
	if found != nil && (h.best == nil || found.seed < h.best.seed) {
		h.best = found
	}
}

// play runs the simulator on a seed and returns how it failed, or nil.
func play(binary string, seed uint64) (*finding, error) {
	ctx, cancel := context.WithTimeout(context.Background(), seedLimit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	run := exec.CommandContext(ctx, binary, "-seed", fmt.Sprint(seed))
	run.Stdout, run.Stderr = &stdout, &stderr
	err := run.Run()
	if err == nil {
		return nil, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("seed %d did not end within %v", seed, seedLimit)
	}
	var exit *exec.ExitError
	what := failure(stdout.String(), stderr.String())
	if what == "" || !errors.As(err, &exit) {
		return nil, fmt.Errorf("seed %d: %w: %s", seed, err, strings.TrimSpace(stderr.String()))
	}
	return &finding{seed: seed, what: what, at: time.Now()}, nil
}

// failure finds the violation, or the panic, in what the simulator printed.
func failure(stdout, stderr string) string {
	for line := range strings.Lines(stdout) {
		if _, what, ok := strings.Cut(line, ": VIOLATION "); ok {
			return strings.TrimSpace(what)
		}
	}
	for line := range strings.Lines(stderr) {
		for _, prefix := range []string{"panic: ", "fatal error: "} {
			if what, ok := strings.CutPrefix(line, prefix); ok {
				return "PANIC " + strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(what), "[recovered, repanicked]"))
			}
		}
	}
	return ""
}
