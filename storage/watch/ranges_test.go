package watch

import (
	"math/rand/v2"
	"testing"
)

// TestRanges compares what visit finds with a look at every range.
func TestRanges(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	key := func() string {
		b := make([]byte, 1+rng.IntN(3))
		for i := range b {
			b[i] = []byte{0, 'a', 'b', 0xff}[rng.IntN(4)]
		}
		return string(b)
	}
	r := newRanges()
	held := map[*group]bool{}
	for range 5000 {
		from := key()
		g := r.at(from, []string{"", prefixEnd(from), "\x00", key()}[rng.IntN(4)])
		if again := r.at(g.key, g.end); again != g {
			t.Fatalf("two groups for [%q, %q)", g.key, g.end)
		}
		if held[g] = true; rng.IntN(3) == 0 {
			r.remove(g)
			delete(held, g)
		}
		found := map[*group]bool{}
		k := key()
		r.visit([]byte(k), func(g *group) {
			if found[g] {
				t.Fatalf("%q visits [%q, %q) twice", k, g.key, g.end)
			}
			found[g] = true
		})
		for g := range held {
			if found[g] != contains(g.key, g.end, []byte(k)) {
				t.Fatalf("%q and [%q, %q): found %t", k, g.key, g.end, found[g])
			}
		}
	}
	for g := range held {
		r.remove(g)
	}
	if n := len(r.keys) + len(r.prefixes) + len(r.lengths) + len(r.others); n > 0 {
		t.Errorf("%d entries left behind by groups that were removed", n)
	}
}

func TestPrefixEnd(t *testing.T) {
	for prefix, want := range map[string]string{"a": "b", "a\xff": "b", "\xff": "\x00", "\xff\xff": "\x00", "a\x00": "a\x01"} {
		if got := prefixEnd(prefix); got != want {
			t.Errorf("%q: %q, want %q", prefix, got, want)
		}
	}
}
