package check

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// A history that somebody has spoilt anywhere is judged, whatever the verdict, and always in the same way.
func TestGarbage(t *testing.T) {
	for _, seed := range seeds(t, 60) {
		t.Logf("seed %d", seed) // shown with a panic
		rng := rand.New(rand.NewPCG(seed, 21))
		h := generate(seed, 200)
		for range 1 + rng.IntN(30) {
			spoil(rng, reflect.ValueOf(h).Elem())
		}
		r := All(h)
		if again := All(h); !reflect.DeepEqual(r, again) {
			t.Errorf("seed %d: two verdicts: %+v and %+v", seed, r, again)
			repeat(t, seed)
			return
		}
		feed(h, rng, true)
	}
}

// spoil changes one value somewhere below v.
func spoil(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		spoil(rng, v.Field(rng.IntN(v.NumField())))
	case reflect.Slice:
		if v.Len() > 0 && rng.IntN(10) > 0 {
			spoil(rng, v.Index(rng.IntN(v.Len())))
		} else {
			v.SetLen(rng.IntN(v.Len() + 1))
		}
	case reflect.Int, reflect.Int64:
		v.SetInt([]int64{0, -1, v.Int() + 1, v.Int() - 1, rng.Int64N(300), -1 << 63, 1<<63 - 1}[rng.IntN(7)])
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(rng.Uint64N(4))
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString([]string{"", v.String() + "x", prefix + "k1", "put", "ok", "unknown"}[rng.IntN(6)])
	}
}
