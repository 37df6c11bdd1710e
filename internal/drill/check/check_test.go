package check

import (
	"os"
	"strconv"
	"testing"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// seeds are those of a test: many, or the one in QUORUMKV_SEED.
func seeds(t testing.TB, many uint64) []uint64 {
	t.Helper()
	if s := os.Getenv("QUORUMKV_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	var all []uint64
	for seed := range many {
		all = append(all, seed+1)
	}
	return all
}

// repeat is the command that does.
func repeat(t *testing.T, seed uint64) {
	t.Helper()
	t.Logf("repeat with: QUORUMKV_SEED=%d go test ./internal/drill/check -run '^%s$'", seed, t.Name())
}

// Histories of a correct cluster are found to be without fault, whole, compacted, and without the store's own history.
func TestCorrect(t *testing.T) {
	for _, seed := range seeds(t, 300) {
		h := generate(seed, 1000)
		switch {
		case seed%10 == 3:
			compact(h)
		case seed%10 == 7:
			h.Last, h.Truth, h.Dumps, h.Hashes = 0, nil, nil, nil
		}
		r := All(h)
		for _, v := range r.Violations {
			t.Errorf("seed %d: %s: %s", seed, v.Promise, v.Text)
		}
		for _, c := range r.Checks {
			if c.Looked == "" || c.Means == "" || c.Violations != 0 {
				t.Errorf("seed %d: check %+v", seed, c)
			}
		}
		if t.Failed() {
			repeat(t, seed)
			return
		}
		if seed == 1 {
			for _, c := range r.Checks {
				t.Logf("%s: %s", c.Promise, c.Looked)
			}
		}
	}
}

// An empty history breaks nothing.
func TestNothing(t *testing.T) {
	if r := All(&history.History{}); len(r.Violations) > 0 || len(r.Checks) != len(promises) {
		t.Errorf("%+v", r)
	}
}

func BenchmarkAll(b *testing.B) {
	h := generate(1, 200_000)
	b.Logf("%d requests, %d changes", len(h.Ops), len(h.Truth))
	for b.Loop() {
		if r := All(h); len(r.Violations) > 0 {
			b.Fatal(r.Violations[0].Text)
		}
	}
}
