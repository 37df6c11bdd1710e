package sim

import (
	cryptorand "crypto/rand" //determinism:ok its Reader is replaced by a seeded one: raft draws election timeouts from it
	_ "embed"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Result is what a seed came to.
type Result struct {
	Seed      uint64
	Options   Options
	Violation string // empty: all checks passed
	TraceHash uint64
	Simulated time.Duration
	Counts    Counts
}

func (r Result) String() string {
	if r.Violation != "" {
		return fmt.Sprintf("seed %d: VIOLATION %s", r.Seed, r.Violation)
	}
	return fmt.Sprintf("seed %d: ok, trace hash %016x", r.Seed, r.TraceHash)
}

// Run plays one seed. A horizon above 0 ends the phase of faults then, instead of when the seed says. With out it tells
// the story, message by message. It must not run beside another Run in the same process: raft draws its election
// timeouts from the process's crypto/rand, which Run replaces for its duration.
func Run(seed uint64, horizon time.Duration, out io.Writer) (Result, error) {
	opt := Draw(rand.New(rand.NewPCG(seed, 0x50)))
	if horizon > 0 {
		opt.Faulty = horizon
	}
	w, err := newWorld(seed, opt, out)
	if err != nil {
		return Result{}, err
	}
	defer w.close()
	var key [32]byte
	copy(key[:], fmt.Sprintf("%032d", seed))
	real := cryptorand.Reader
	cryptorand.Reader = rand.NewChaCha8(key)
	defer func() { cryptorand.Reader = real }()
	w.trace.note(0, "options %+v", opt)
	w.run()
	return Result{
		Seed: seed, Options: opt, Violation: w.failure, TraceHash: w.trace.hash(), Simulated: w.queue.now, Counts: w.count,
	}, nil
}

// shortenSteps bounds the search for the shortest horizon.
const shortenSteps = 10

// Shorten looks for the shortest phase of faults after which a failed seed still fails, by halving. A shorter one may
// exist: failures need not be monotonic.
func Shorten(failed Result) (time.Duration, error) {
	passes, fails := time.Duration(0), failed.Options.Faulty
	for range shortenSteps {
		middle := (passes + fails) / 2
		r, err := Run(failed.Seed, middle, nil)
		if err != nil {
			return 0, err
		}
		if r.Violation != "" {
			fails = middle
		} else {
			passes = middle
		}
	}
	return fails, nil
}

//go:embed corpus.txt
var corpus string

// Corpus lists the seeds that ever failed, for them to run first.
func Corpus() []uint64 {
	var seeds []uint64
	for line := range strings.Lines(corpus) {
		number, _, _ := strings.Cut(line, "#")
		if number = strings.TrimSpace(number); number == "" {
			continue
		}
		seed, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			panic("corpus.txt: " + err.Error())
		}
		seeds = append(seeds, seed)
	}
	return seeds
}
