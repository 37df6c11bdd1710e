package sim

import (
	cryptorand "crypto/rand"
	"fmt"
	"io"
	"math/rand/v2"
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

// Run plays one seed. With out it tells the story, message by message. It must not run beside another Run in the same
// process: raft draws its election timeouts from the process's crypto/rand, which Run replaces for its duration.
func Run(seed uint64, out io.Writer) (Result, error) {
	opt := Draw(rand.New(rand.NewPCG(seed, 0x50)))
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
