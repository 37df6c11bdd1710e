package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/quorumkv/quorumkv/internal/sim"
)

// twiceEvery is how many seeds pass for each one that is run twice.
const twiceEvery = 100

// totalsPrefix begins the line in which a worker hands its totals to its parent.
const totalsPrefix = "totals "

// runAll runs the seeds, in several processes if there are many: raft draws from the process's own source of randomness,
// so two runs cannot share a process.
func runAll(o options, out io.Writer) (failed int, err error) {
	start := time.Now()
	var sum totals
	if o.corpus {
		for _, s := range sim.Corpus() {
			if err := playSeed(o, s, out, &sum); err != nil {
				return 0, err
			}
		}
	}
	if o.procs > 1 && !o.worker && !o.trace && !o.seeds.one() && o.seeds.step > 0 {
		err = shareOut(o, out, &sum)
	} else if o.seeds.step > 0 {
		err = playRange(o, start, out, &sum)
	}
	if err != nil {
		return sum.Failed, err
	}
	switch {
	case o.worker:
		b, err := json.Marshal(sum)
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(out, "%s%s\n", totalsPrefix, b)
	case !o.seeds.one():
		sum.print(out, time.Since(start), o.coverage)
	}
	if thin := sum.Counts.Thin(sum.Seeds); o.floor && len(thin) > 0 {
		return sum.Failed, fmt.Errorf("the seeds came across too little: %s", strings.Join(thin, "; "))
	}
	return sum.Failed, nil
}

func playRange(o options, start time.Time, out io.Writer, sum *totals) error {
	for s := o.seeds.first; s <= o.seeds.last && s >= o.seeds.first; s += o.seeds.step {
		if o.duration > 0 && time.Since(start) >= o.duration {
			return nil
		}
		if err := playSeed(o, s, out, sum); err != nil {
			return err
		}
	}
	return nil
}

func playSeed(o options, seed uint64, out io.Writer, sum *totals) error {
	var trace io.Writer
	if o.trace {
		trace = out
	}
	r, err := sim.Run(seed, o.horizon, trace)
	if err != nil {
		return err
	}
	if r.Violation == "" && seed%twiceEvery == 0 {
		again, err := sim.Run(seed, o.horizon, nil)
		if err != nil {
			return err
		}
		if again.TraceHash != r.TraceHash {
			r.Violation = fmt.Sprintf("two runs differ: trace hash %016x, then %016x", r.TraceHash, again.TraceHash)
		}
	}
	sum.add(totals{Seeds: 1, Simulated: r.Simulated, Counts: r.Counts})
	if r.Violation == "" {
		if !o.quiet {
			fmt.Fprintln(out, r)
		}
		return nil
	}
	sum.Failed++
	if !o.trace && o.horizon == 0 {
		shortest, err := sim.Shorten(r)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "seed %d fails within %v: repeat with: go run ./internal/sim/cmd/sim -seed %d -horizon %v -trace\n",
			seed, shortest, seed, shortest)
	}
	fmt.Fprintln(out, r)
	return nil
}

// shareOut runs the seeds in worker processes and passes on what they print.
func shareOut(o options, out io.Writer, sum *totals) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var (
		mu      sync.Mutex // guards out and sum
		workers sync.WaitGroup
		errs    = make([]error, o.procs)
	)
	for i := range o.procs {
		part := o.seeds.part(uint64(i), uint64(o.procs))
		if part.first > part.last {
			continue
		}
		args := []string{"-worker", "-procs=1", "-seeds=" + part.String(), fmt.Sprintf("-quiet=%t", o.quiet),
			"-horizon=" + o.horizon.String(), "-for=" + o.duration.String()}
		workers.Go(func() {
			cmd := exec.Command(self, args...)
			lines := &lineWriter{line: func(line string) {
				mu.Lock()
				defer mu.Unlock()
				data, ok := strings.CutPrefix(line, totalsPrefix)
				if !ok {
					fmt.Fprintln(out, line)
					return
				}
				var t totals
				if errs[i] = json.Unmarshal([]byte(data), &t); errs[i] == nil {
					sum.add(t)
				}
			}}
			cmd.Stdout, cmd.Stderr = lines, os.Stderr
			if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != 1 {
				errs[i] = fmt.Errorf("worker with seeds %s: %w", part.String(), err)
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// lineWriter calls line for each full line written to it.
type lineWriter struct {
	rest []byte
	line func(string)
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		w.line(string(w.rest[:i]))
		w.rest = w.rest[i+1:]
	}
}

// without returns args without a flag of that name and its value.
func without(args []string, name string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		switch a := strings.TrimLeft(args[i], "-"); {
		case a == name:
			i++
		case strings.HasPrefix(a, name+"="):
		default:
			out = append(out, args[i])
		}
	}
	return out
}
