package mvcc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
)

// TestRangeEncoded compares encoded ranges with those of the same store, part of which is in bbolt: more rows than are read
// at a time, at old revisions too, and with limits.
func TestRangeEncoded(t *testing.T) {
	r := newRig(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	key := func(i int) []byte { return fmt.Appendf(nil, "%04d", i) }
	const keys = 3 * encodedRows
	change := func(n int) {
		for range n {
			w := r.store.Begin()
			if k := rng.IntN(keys); rng.IntN(8) == 0 {
				w.DeleteRange(key(k), key(k+rng.IntN(5)))
			} else {
				w.Put(key(k), make([]byte, rng.IntN(300)), int64(rng.IntN(3)))
			}
			w.End()
		}
	}
	change(2 * keys)
	r.flush()
	change(keys / 8)
	v := r.store.View()
	for range 100 {
		from, o := rng.IntN(keys), RangeOptions{Limit: rng.IntN(2) * rng.IntN(keys)}
		if rng.IntN(2) == 0 {
			o.Revision = 1 + rng.Int64N(v.Revision())
		}
		end := key(from + rng.IntN(keys))
		if rng.IntN(8) == 0 {
			end = nil
		}
		want, err := v.Range(key(from), end, o)
		if err != nil {
			t.Fatal(err)
		}
		var got [][]byte
		count, err := v.RangeEncoded(key(from), end, o, func(size int) []byte {
			got = append(got, make([]byte, size))
			return got[len(got)-1]
		})
		var pairs [][]byte
		for _, kv := range want.KVs {
			b, err := proto.Marshal(kv)
			if err != nil {
				t.Fatal(err)
			}
			pairs = append(pairs, b)
		}
		if err != nil || count != want.Count || !slices.EqualFunc(got, pairs, slices.Equal) {
			t.Fatalf("%s to %s, %+v: %d of %d pairs encoded, %v; want %d of %d", key(from), end, o, len(got), count, err,
				len(pairs), want.Count)
		}
	}
}

// newPlace gives each pair memory of its own.
func newPlace(size int) []byte { return make([]byte, size) }

// What is no longer there, or not yet, is told as Range tells it.
func TestRangeEncodedErrors(t *testing.T) {
	r := newRig(t)
	r.put("a", "1")
	r.put("a", "2")
	r.flush()
	old := r.store.View()
	r.put("a", "3")
	r.compact(4)
	for !r.store.CompactStep(100) {
	}
	r.flush()
	for rev, v := range map[int64]*View{0: old, 2: old, 3: r.store.View(), 5: r.store.View()} {
		_, want := v.Range([]byte("a"), []byte("b"), RangeOptions{Revision: rev})
		_, err := v.RangeEncoded([]byte("a"), []byte("b"), RangeOptions{Revision: rev}, newPlace)
		if want == nil || !errors.Is(err, want) {
			t.Errorf("revision %d: %v, want %v", rev, err, want)
		}
	}
}
