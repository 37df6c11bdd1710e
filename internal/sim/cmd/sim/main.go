// Command sim runs QuorumKV's simulator: a whole cluster, its network and its disks, from one seed.
//
//	go run ./internal/sim/cmd/sim -seed 42          one seed
//	go run ./internal/sim/cmd/sim -seeds 1..1000    many; with -quiet only failures and totals
//	go run ./internal/sim/cmd/sim -seed 42 -trace   one seed, told message by message
//
// The last line for a seed is "seed N: ok, trace hash H" or "seed N: VIOLATION ...", and then the exit code is 1.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/internal/sim"
)

func main() {
	seed := flag.Uint64("seed", 0, "run this seed")
	seeds := flag.String("seeds", "", "run these seeds, as FIRST..LAST")
	quiet := flag.Bool("quiet", false, "print failing seeds and totals only")
	trace := flag.Bool("trace", false, "tell what happens, message by message")
	flag.Parse()
	debug.SetGCPercent(400) // runs are short and the heap is small: collect less often
	first, last, err := seedRange(*seed, *seeds)
	if err != nil || flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "sim: %v\nusage: sim -seed N [-trace] | sim -seeds FIRST..LAST\n", err)
		os.Exit(2)
	}
	var out io.Writer
	if *trace {
		out = os.Stdout
	}
	start := time.Now()
	var simulated time.Duration
	var total sim.Counts
	failed := 0
	for s := first; s <= last; s++ {
		r, err := sim.Run(s, out)
		if err != nil {
			fmt.Fprintln(os.Stderr, "sim:", err)
			os.Exit(2)
		}
		simulated += r.Simulated
		total.Add(r.Counts)
		if r.Violation != "" || !*quiet {
			fmt.Println(r)
		}
		if r.Violation != "" {
			failed++
			fmt.Printf("repeat with: go run ./internal/sim/cmd/sim -seed %d -trace\n", s)
		}
	}
	if first != last {
		wall := time.Since(start)
		fmt.Printf("%d seeds, %d failed, %.1f simulated hours in %.1f s (%.0fx), %+v\n", last-first+1, failed,
			simulated.Hours(), wall.Seconds(), simulated.Seconds()/wall.Seconds(), total)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

func seedRange(seed uint64, seeds string) (first, last uint64, err error) {
	if seeds == "" {
		return seed, seed, nil
	}
	a, b, ok := strings.Cut(seeds, "..")
	if !ok {
		return 0, 0, fmt.Errorf("-seeds %q is not FIRST..LAST", seeds)
	}
	if first, err = strconv.ParseUint(a, 10, 64); err != nil {
		return 0, 0, fmt.Errorf("-seeds %q: %w", seeds, err)
	}
	if last, err = strconv.ParseUint(b, 10, 64); err != nil {
		return 0, 0, fmt.Errorf("-seeds %q: %w", seeds, err)
	}
	if last < first {
		return 0, 0, fmt.Errorf("-seeds %q ends before it begins", seeds)
	}
	return first, last, nil
}
