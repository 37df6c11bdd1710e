package mvcc

import (
	"slices"
	"testing"
)

// What a change did to leases is in its event, and what leases hold keys is known after a restart and a compaction too.
func TestLeases(t *testing.T) {
	r := newRig(t)
	put := func(key string, lease int64) {
		w := r.store.Begin()
		w.Put([]byte(key), nil, lease)
		checkPrevious(t, w, key, lease)
		w.End()
	}
	put("a", 1)
	put("b", 1)
	put("b", 2)
	put("c", 3)
	put("c", 0)
	put("d", 4)
	w := r.store.Begin()
	w.Put([]byte("e"), nil, 5)
	w.DeleteRange([]byte("d"), []byte("f"))
	var previous []int64
	for _, e := range w.Changes() {
		previous = append(previous, e.PrevLease)
	}
	w.End()
	if !slices.Equal(previous, []int64{0, 4, 5}) {
		t.Errorf("the deletion's events name the leases %v", previous)
	}
	put("d", 6)
	want := []string{"a1", "b2", "d6"}
	check := func(when string) {
		t.Helper()
		var got []string
		r.store.Leased(func(key string, lease int64) { got = append(got, key+string('0'+rune(lease))) })
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	check("at first")
	r.flush()
	r.reopen()
	check("after a restart")
	if err := r.store.Compact(r.store.Revision()); err != nil {
		t.Fatal(err)
	}
	for !r.store.CompactStep(1) {
	}
	check("after a compaction")
	r.flush()
	r.reopen()
	check("after both")
}

// checkPrevious holds the newest event of a put against the key's state before it.
func checkPrevious(t *testing.T, w *WriteTxn, key string, lease int64) {
	t.Helper()
	before := map[string]int64{"b2": 1, "c0": 3}
	changes := w.Changes()
	if got, want := changes[len(changes)-1].PrevLease, before[key+string('0'+rune(lease))]; got != want {
		t.Errorf("put of %s with lease %d: lease %d before, want %d", key, lease, got, want)
	}
}
