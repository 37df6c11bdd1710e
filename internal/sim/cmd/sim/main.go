// Command sim runs QuorumKV's simulator: a whole cluster, its network and its disks, from one seed.
//
//	go run ./internal/sim/cmd/sim -seed 42           one seed
//	go run ./internal/sim/cmd/sim -seed 42 -trace    the same, told message by message
//	go run ./internal/sim/cmd/sim -seeds 1..1000     many, on all cores; with -quiet only failures and totals
//	go run ./internal/sim/cmd/sim -for 30m           seeds from the first of -seeds on, for a given time
//	go run ./internal/sim/cmd/sim -bug NAME -seeds 1..100    with a planted bug (-bug help lists them)
//
// The last line for a seed is "seed N: ok, trace hash H" or "seed N: VIOLATION ...", and then the exit code is 1. Seeds
// that are multiples of 100 run twice and must give the same trace.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/quorumkv/quorumkv/internal/sim"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are the command line.
type options struct {
	seeds    seedRange
	corpus   bool
	quiet    bool
	trace    bool
	coverage bool
	floor    bool
	horizon  time.Duration
	duration time.Duration
	procs    int
	worker   bool
}

func run(args []string, out, errs io.Writer) int {
	var o options
	var seed, bug string
	f := flag.NewFlagSet("sim", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&seed, "seed", "", "run this seed")
	f.Var(&o.seeds, "seeds", "run these seeds, as FIRST..LAST, or FIRST..LAST/STEP")
	f.StringVar(&bug, "bug", "", "plant this bug first")
	f.BoolVar(&o.corpus, "corpus", false, "run the seeds that ever failed before the others")
	f.BoolVar(&o.quiet, "quiet", false, "print failing seeds and totals only")
	f.BoolVar(&o.trace, "trace", false, "tell what happens, message by message")
	f.BoolVar(&o.coverage, "coverage", false, "add to the totals where crashes struck and which roles changed")
	f.BoolVar(&o.floor, "floor", false, "fail also when the seeds came across too little: for 1,000 of them or more")
	f.DurationVar(&o.horizon, "horizon", 0, "end the phase of faults after this simulated time (default: as the seed says, 60s)")
	f.DurationVar(&o.duration, "for", 0, "go on with the next seeds until this much time has passed")
	f.IntVar(&o.procs, "procs", runtime.NumCPU(), "processes that share the seeds")
	f.BoolVar(&o.worker, "worker", false, "print totals for a parent process")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if bug != "" {
		return runWithBug(bug, without(args, "bug"))
	}
	if seed != "" {
		if err := o.seeds.Set(seed); err != nil {
			fmt.Fprintln(errs, "sim: -seed:", err)
			return 2
		}
	}
	if f.NArg() > 0 || (o.seeds == seedRange{} && !o.corpus) {
		fmt.Fprintln(errs, "usage: sim -seed N [-trace] | sim -seeds FIRST..LAST | sim -for DURATION -seeds FIRST..; sim -h for more")
		return 2
	}
	debug.SetGCPercent(400) // runs are short and the heap is small: collect less often
	failed, err := runAll(o, out)
	switch {
	case err != nil:
		fmt.Fprintln(errs, "sim:", err)
		return 2
	case failed > 0:
		return 1
	}
	return 0
}

// totals are what several seeds came to.
type totals struct {
	Seeds, Failed int
	Simulated     time.Duration
	Counts        sim.Counts
}

func (t *totals) add(o totals) {
	t.Seeds += o.Seeds
	t.Failed += o.Failed
	t.Simulated += o.Simulated
	t.Counts.Add(o.Counts)
}

func (t *totals) print(out io.Writer, wall time.Duration, coverage bool) {
	fmt.Fprintf(out, "%d seeds, %d failed, %.1f simulated hours in %.1f s (%.0f simulated s per s)\n", t.Seeds, t.Failed,
		t.Simulated.Hours(), wall.Seconds(), t.Simulated.Seconds()/wall.Seconds())
	t.Counts.Print(out, coverage)
}
