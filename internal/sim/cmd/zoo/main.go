// Command zoo runs the simulator with each bug of the zoo in it, to see whether its checks find them.
//
//	go run ./internal/sim/cmd/zoo                          all bugs
//	go run ./internal/sim/cmd/zoo -bug ack-before-fsync    one
//
// Each bug gets seeds 1..2000 or five minutes, whichever is over first, and is found with the first violation or panic on
// a seed that passes without it. A bug that names a test is found when that test fails. The exit code is 1 when one is not
// found.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/quorumkv/quorumkv/internal/mutant"
	"github.com/quorumkv/quorumkv/internal/sim/zoo"
)

const (
	lastSeed  = 2000
	timeLimit = 5 * time.Minute
)

func main() {
	name := flag.String("bug", "", "run this bug only")
	procs := flag.Int("procs", runtime.NumCPU(), "simulator processes at once")
	flag.Parse()
	bugs := zoo.All()
	if *name != "" {
		b, err := zoo.Find(*name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "zoo:", err)
			os.Exit(2)
		}
		bugs = []zoo.Bug{b}
	}
	if flag.NArg() > 0 || *procs < 1 {
		fmt.Fprintln(os.Stderr, "usage: zoo [-bug NAME] [-procs N]")
		os.Exit(2)
	}
	missed, err := visitAll(bugs, *procs)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "zoo:", err)
		os.Exit(2)
	case missed > 0:
		fmt.Printf("%d of %d bugs not found\n", missed, len(bugs))
		os.Exit(1)
	}
}

func visitAll(bugs []zoo.Bug, procs int) (missed int, err error) {
	healthy, err := zoo.BuildHealthy()
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(filepath.Dir(healthy))
	for _, b := range bugs {
		found, err := visit(b, healthy, procs)
		if err != nil {
			return 0, err
		}
		if !found {
			missed++
		}
	}
	return missed, nil
}

func visit(b zoo.Bug, healthy string, procs int) (found bool, err error) {
	if b.Test != nil {
		return test(b)
	}
	binary, err := zoo.Build(b.Name)
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(filepath.Dir(binary))
	start := time.Now()
	h := hunt{binary: binary, healthy: healthy, last: lastSeed, deadline: start.Add(timeLimit)}
	f, err := h.run(procs)
	took := time.Since(start).Round(100 * time.Millisecond)
	for _, sick := range h.sick {
		fmt.Printf("%s: seed %d does not count, the fault is not the bug's: %s\n", b.Name, sick.seed, sick.what)
	}
	switch {
	case err != nil:
		return false, fmt.Errorf("bug %s: %w", b.Name, err)
	case f == nil:
		fmt.Printf("%s: NOT FOUND in %d seeds, %v\n    %s\n", b.Name, h.played, took, b.What)
		return false, nil
	}
	fmt.Printf("%s: found at seed %d after %v: %s\n", b.Name, f.seed, f.at.Sub(start).Round(100*time.Millisecond), f.what)
	return true, nil
}

// test visits a bug that a test must find. That the test passes without the bug is for make test to show.
func test(b zoo.Bug) (found bool, err error) {
	start := time.Now()
	failure, err := mutant.RunTest(*b.Test, b.Edits)
	took := time.Since(start).Round(100 * time.Millisecond)
	switch {
	case err != nil:
		return false, fmt.Errorf("bug %s: %w", b.Name, err)
	case failure == "":
		fmt.Printf("%s: NOT FOUND by %s, %v\n    %s\n", b.Name, b.Test, took, b.What)
		return false, nil
	}
	fmt.Printf("%s: found by %s after %v: %s\n", b.Name, b.Test, took, failure)
	return true, nil
}
