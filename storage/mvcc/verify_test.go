package mvcc

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// verify reads all rows in slices of that size, and does something between two of them.
func (r *rig) verify(slice int64, between func()) (bad []error, rows int, err error) {
	v := NewVerifier(r.db)
	for {
		s, done, err := v.Next(slice, func(err error) { bad = append(bad, err) })
		rows += s.Rows
		if err != nil || done {
			return bad, rows, err
		}
		between()
	}
}

func nothing() {}

// TestVerifier names each damaged row, and those alone, however large the slices are.
func TestVerifier(t *testing.T) {
	r := newRig(t)
	values := []string{"the first value", "the second value", "the third value", "the fourth value"}
	for _, v := range values {
		r.put("key", v)
	}
	r.flush()
	if bad, rows, err := r.verify(1, nothing); len(bad) != 0 || rows != 4 || err != nil {
		t.Fatalf("sound: %v in %d rows (%v)", bad, rows, err)
	}
	content, err := os.ReadFile(r.file())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values[1:3] {
		r.xor(bytes.LastIndex(content, []byte(v)), 1)
	}
	for _, slice := range []int64{1, 100, 1 << 20} {
		bad, rows, err := r.verify(slice, nothing)
		if len(bad) != 2 || rows != 4 || err != nil || !errors.Is(bad[0], backend.ErrDamaged) {
			t.Errorf("two damaged, slices of %d bytes: %v in %d rows (%v)", slice, bad, rows, err)
		}
	}
}

// TestVerifierCounts takes a row out of the file: nothing is wrong with the others, and only their number tells.
func TestVerifierCounts(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		r.put(fmt.Sprint("key", i), "value")
	}
	r.flush()
	var b backend.Batch
	b.Delete(backend.Key, appendRevisionKey(nil, Revision{Main: 5}, false))
	if err := r.db.Commit(&b); err != nil {
		t.Fatal(err)
	}
	for _, slice := range []int64{1, 1 << 20} {
		if bad, rows, err := r.verify(slice, nothing); len(bad) != 0 || rows != 9 || !errors.Is(err, backend.ErrDamaged) {
			t.Errorf("slices of %d bytes: %v in %d rows (%v)", slice, bad, rows, err)
		}
	}
}

// A row of a revision that the store has not reached was not written by it.
func TestVerifierKnowsTheRevision(t *testing.T) {
	r := newRig(t)
	r.put("key", "value")
	r.flush()
	key := appendRevisionKey(nil, Revision{Main: 99}, false)
	e := Event{Rev: Revision{Main: 99}, KV: mustGet(t, r.store.View(), "key")}
	var b backend.Batch
	b.Put(backend.Key, key, appendRowValue(nil, key, &e))
	if err := r.db.Commit(&b); err != nil {
		t.Fatal(err)
	}
	if bad, _, err := r.verify(1, nothing); len(bad) != 1 || err != nil {
		t.Errorf("found %v (%v)", bad, err)
	}
}

// TestVerifierBesideWrites puts, deletes, compacts and flushes between the slices: nothing is found, and no transaction of
// an earlier slice is still open.
func TestVerifierBesideWrites(t *testing.T) {
	forSeeds(t, 20, func(t *testing.T, rng *rand.Rand) {
		r := newRig(t)
		compactions, slices := 0, 0
		something := func() {
			for range 1 + rng.IntN(5) {
				r.put(fmt.Sprint("key", rng.IntN(30)), fmt.Sprint("value", rng.IntN(1000)))
			}
			if rng.IntN(4) == 0 {
				if err := r.store.Compact(r.store.Revision() - rng.Int64N(5)); err == nil {
					compactions++
				}
			}
			if rng.IntN(2) == 0 {
				r.store.CompactStep(1 + rng.IntN(20))
			}
			r.flush()
		}
		for range 30 {
			something()
		}
		for range 5 {
			bad, _, err := r.verify(1+rng.Int64N(1500), func() {
				if slices++; slices%7 > 0 {
					return
				}
				if err := r.db.Read(func(tx *bbolt.Tx) error {
					if n := tx.DB().Stats().OpenTxN; n != 1 {
						return fmt.Errorf("%d transactions are open", n)
					}
					return nil
				}); err != nil {
					t.Error(err)
				}
				something()
			})
			if len(bad) > 0 || err != nil {
				t.Fatalf("found %v (%v)", bad, err)
			}
		}
		if slices == 0 || compactions == 0 {
			t.Errorf("%d slices, %d compactions", slices, compactions)
		}
	})
}
