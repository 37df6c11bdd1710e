package apply

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/quorumkv/quorumkv/storage/backend"
)

func TestWindow(t *testing.T) {
	w := &window{member: 1}
	steps := []struct {
		why            string
		epoch, counter uint64
		admitted       bool
	}{
		{"first", 3, 1, true},
		{"duplicate", 3, 1, false},
		{"gap", 3, 10, true},
		{"into the gap", 3, 5, true},
		{"again", 3, 5, false},
		{"counter zero", 3, 0, true},
		{"older epoch", 2, 11, false},
		{"oldest of the window", 3, DedupeWindow, true},
		{"covered still", 3, 1, false},
		{"covered still, not seen", 3, 2, true},
		{"moves the window by one", 3, DedupeWindow + 2, true},
		{"now too old", 3, 2, false},
		{"oldest covered", 3, 3, true},
		{"far ahead", 3, 10 * DedupeWindow, true},
		{"bits of the past are gone", 3, 10*DedupeWindow - 5, true},
		{"too old after the jump", 3, 9 * DedupeWindow, false},
		{"oldest after the jump", 3, 9*DedupeWindow + 1, true},
		{"newer epoch starts over", 4, 7, true},
		{"lower counter of the newer epoch", 4, 6, true},
		{"duplicate in the newer epoch", 4, 7, false},
		{"the old epoch is over", 3, 20 * DedupeWindow, false},
		{"the end of counters", 4, math.MaxUint64, true},
		{"the end again", 4, math.MaxUint64, false},
	}
	for _, s := range steps {
		if got := w.admit(s.epoch, s.counter); got != s.admitted {
			t.Errorf("%s: admit(%d, %d) = %t", s.why, s.epoch, s.counter, got)
		}
	}
}

// The model remembers every counter for ever.
func TestWindowAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		w := &window{member: 1}
		var epoch, high uint64
		seen := map[uint64]bool{}
		for i := range 20_000 {
			c := high + rng.Uint64N(4)
			switch rng.IntN(100) {
			case 0:
				c = high + rng.Uint64N(3*DedupeWindow)
			case 1:
				c = high - min(high, DedupeWindow-2+rng.Uint64N(4))
			case 2, 3, 4, 5:
				c = rng.Uint64N(high + 1)
			}
			e := epoch
			switch rng.IntN(5000) {
			case 0:
				e++
			case 1:
				e -= min(e, 1)
			}
			want := e > epoch || e == epoch && !seen[c] && (c > high || high-c < DedupeWindow)
			if got := w.admit(e, c); got != want {
				t.Fatalf("seed %d, step %d: admit(%d, %d) = %t at epoch %d, high %d", seed, i, e, c, got, epoch, high)
			}
			if e > epoch {
				epoch, high, seen = e, c, map[uint64]bool{}
			}
			if want {
				seen[c], high = true, max(high, c)
			}
			if rng.IntN(500) == 0 {
				var err error
				if w, err = decodeWindow(w.key(), w.encode()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestDecodeWindowFindsDamage(t *testing.T) {
	w := &window{member: 0xab}
	for i := range uint64(100) {
		w.admit(5, i*i)
	}
	good := w.encode()
	if back, err := decodeWindow(w.key(), good); err != nil || back.member != 0xab || back.epoch != 5 || back.seen != w.seen {
		t.Fatalf("got %v, %v", back, err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1 << (i % 8)
		if _, err := decodeWindow(w.key(), bad); !errors.Is(err, backend.ErrDamaged) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
	for _, key := range []string{"dedupe/ac", "dedupe/", "dedupe/xyz"} {
		if _, err := decodeWindow([]byte(key), good); !errors.Is(err, backend.ErrDamaged) {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

func TestDuplicatesAreNotExecuted(t *testing.T) {
	r := newRig(t, RequestID{Member: 1, Epoch: 2})
	cmd := func(member, epoch, counter uint64) Command {
		return Command{ID: RequestID{member, epoch, counter}, Request: mustMarshal(putOf("k", "v"))}
	}
	steps := []struct {
		why      string
		cmd      Command
		executed bool
		answered bool
	}{
		{"own", cmd(1, 2, 1), true, true},
		{"own again", cmd(1, 2, 1), false, true},
		{"own, reordered", cmd(1, 2, 9), true, true},
		{"own, behind", cmd(1, 2, 3), true, true},
		{"a peer's with the same counter", cmd(2, 2, 1), true, false},
		{"a peer's again", cmd(2, 2, 1), false, false},
		{"own, from the boot before", cmd(1, 1, 50), false, false},
		{"own, far ahead", cmd(1, 2, 5*DedupeWindow), true, true},
		{"own, too old", cmd(1, 2, 10), false, true},
		{"a learner's", cmd(0xffee, 1, 1), true, false},
		{"own, from a later boot", cmd(1, 3, 1), true, false},
		{"own, of this boot, late", cmd(1, 2, 5*DedupeWindow+1), false, true},
	}
	for i, s := range steps {
		before := r.m.Revision()
		results := r.commitBatch([]Command{s.cmd})
		if executed := r.m.Revision() == before+1; executed != s.executed {
			t.Errorf("%s: executed %t", s.why, executed)
		}
		if answered := len(results) == 1; answered != s.answered {
			t.Errorf("%s: answered %t", s.why, answered)
		}
		if len(results) == 1 && errors.Is(results[0].Err, ErrDuplicate) == s.executed {
			t.Errorf("%s: error %v", s.why, results[0].Err)
		}
		if i%3 == 0 {
			r.flush()
			r.reopen()
		}
	}
}

func TestStrangersAreRefused(t *testing.T) {
	r := newRig(t, RequestID{Member: 77, Epoch: 1})
	results := r.commit(putOf("k", "v"))
	if len(results) != 1 || !errors.Is(results[0].Err, ErrNotMember) || r.m.Revision() != 1 || len(r.m.windows) != 0 {
		t.Fatalf("got %v at revision %d with %d windows", results, r.m.Revision(), len(r.m.windows))
	}
}
