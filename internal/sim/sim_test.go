package sim

import (
	"reflect"
	"testing"
)

// TestSameSeedSameTrace plays seeds twice: a difference means that something outside the seed had an influence, and no
// failing seed could be trusted to replay.
func TestSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		first, second := play(t, seed), play(t, seed)
		if first.TraceHash != second.TraceHash || !reflect.DeepEqual(first.Counts, second.Counts) {
			t.Errorf("seed %d gave trace hash %016x and then %016x: %+v, %+v", seed, first.TraceHash, second.TraceHash,
				first.Counts, second.Counts)
		}
	}
}

// TestOtherSeedOtherTrace makes sure that the hash sees anything at all.
func TestOtherSeedOtherTrace(t *testing.T) {
	if a, b := play(t, 1), play(t, 2); a.TraceHash == b.TraceHash {
		t.Errorf("seeds 1 and 2 gave the same trace hash %016x", a.TraceHash)
	}
}

func play(t *testing.T, seed uint64) Result {
	t.Helper()
	r, err := Run(seed, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Violation != "" {
		t.Fatalf("%v\nrepeat with: go run ./internal/sim/cmd/sim -seed %d -trace", r, seed)
	}
	return r
}

func BenchmarkSeed(b *testing.B) {
	simulated := 0.0
	for i := range b.N {
		r, err := Run(uint64(i+1), 0, nil)
		if err != nil || r.Violation != "" {
			b.Fatal(r, err)
		}
		simulated += r.Simulated.Seconds()
	}
	b.ReportMetric(simulated/b.Elapsed().Seconds(), "simulated-s/s")
}
