package check

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// The order of revisions and of time is checked exactly: a comparison of all pairs finds the same, and so does the check
// while the history is made, whichever order it is told in.
func TestOrderIsExact(t *testing.T) {
	broken, whole := 0, 0
	for _, seed := range seeds(t, 20_000) {
		rng := rand.New(rand.NewPCG(seed, 22))
		h := &history.History{Prefix: prefix, First: 5}
		for id := range 1 + rng.IntN(6) {
			begin := time.Duration(rng.IntN(12))
			op := history.Op{
				ID: id + 1, Member: fmt.Sprintf("n%d", id), Key: prefix + "k", Value: fmt.Sprint("v", id), Begin: begin,
				End: begin + time.Duration(rng.IntN(8)), Outcome: history.OK, Revision: 5 + int64(begin)/2 + rng.Int64N(5),
				Kind: []history.Kind{history.Put, history.Get, history.Stale, history.Swap, history.Delete}[rng.IntN(5)],
			}
			op.Applied = op.Kind.Writes() && rng.IntN(2) == 0
			h.Ops = append(h.Ops, op)
		}
		want := pairs(h)
		if want {
			broken++
		} else {
			whole++
		}
		r := All(h)
		if got := found(r, Linearizable, 0) || found(r, NoStaleRead, 0); got != want {
			t.Errorf("seed %d: found %v, by all pairs %v: %+v", seed, got, want, h.Ops)
		}
		for _, shuffled := range []bool{false, true} {
			if got := feed(h, rng, shuffled) != nil; got != want {
				t.Errorf("seed %d: found live %v, by all pairs %v: %+v", seed, got, want, h.Ops)
			}
		}
		if t.Failed() {
			repeat(t, seed)
			return
		}
	}
	if min(broken, whole) < (broken+whole)/10 {
		t.Errorf("%d histories are broken and %d whole: that tests too little", broken, whole)
	}
}

// pairs compares all pairs of answers.
func pairs(h *history.History) (broken bool) {
	for i := range h.Ops {
		b := &h.Ops[i]
		if linearizable(b) && (b.Revision < h.First || b.Revision == h.First && changes(b)) {
			return true
		}
		for j := range h.Ops {
			a := &h.Ops[j]
			if i != j && changes(a) && changes(b) && a.Revision == b.Revision {
				return true
			}
			if a.End < b.Begin && linearizable(b) && (a.Revision > b.Revision || a.Revision == b.Revision && changes(b)) {
				return true
			}
		}
	}
	return false
}
