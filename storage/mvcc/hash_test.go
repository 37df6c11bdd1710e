package mvcc

import "testing"

// TestHashOfEtcd compares with what etcd 3.7.3 answered for this history (freshly restarted, so that it computes).
func TestHashOfEtcd(t *testing.T) {
	r := newRig(t)
	check := func(rev int64, want HashKV) {
		t.Helper()
		for _, upkeep := range []func(){func() {}, r.flush, func() { r.store.CompactStep(1) }, r.flush,
			func() {
				for !r.store.CompactStep(1) {
				}
			}, r.flush, r.reopen} {
			upkeep()
			if got, err := r.store.View().HashKV(rev); err != nil || got != want {
				t.Fatalf("hash at %d: %+v, %v; want %+v", rev, got, err, want)
			}
		}
	}
	check(0, HashKV{0x40a4756d, -1, 1})
	r.put("a", "1")
	w := r.store.Begin()
	w.Put([]byte("b"), []byte("2"), 77)
	w.End()
	r.put("a", "3")
	r.delete("b", "")
	r.put("b", "4")
	r.delete("a", "")
	check(0, HashKV{0x4cadf77a, -1, 7})
	check(4, HashKV{0x5833ae52, -1, 4})
	r.compact(5)
	check(0, HashKV{0xca9d4073, 5, 7})
	check(5, HashKV{0xbdc912e4, 5, 5})
	r.compact(7) // a tombstone
	check(0, HashKV{0x118dfaee, 7, 7})
	r.delete("b", "")
	check(0, HashKV{0xdbd72876, 7, 8})
	r.compact(8)
	check(0, HashKV{0x40a4756d, 8, 8})
}

func TestHashOutsideTheHistory(t *testing.T) {
	r := newRig(t)
	r.put("a", "1")
	r.put("a", "2")
	r.compact(3)
	v := r.store.View()
	if _, err := v.HashKV(2); err != ErrCompacted {
		t.Error(err)
	}
	if _, err := v.HashKV(4); err != ErrFutureRevision {
		t.Error(err)
	}
	if h, err := v.HashKV(-3); err != nil || h != (HashKV{0x40a4756d, 3, -3}) {
		t.Error(h, err)
	}
}

// TestHashOvertaken takes a digest from a view whose rows a later compaction has removed.
func TestHashOvertaken(t *testing.T) {
	r := newRig(t)
	for range 4 {
		r.put("a", "1")
	}
	r.flush()
	v := r.store.View()
	r.compact(4)
	r.store.CompactStep(10)
	r.flush()
	if _, err := v.HashKV(3); err != ErrCompacted {
		t.Errorf("below the compaction: %v", err)
	}
	for _, rev := range []int64{0, 4, 5} {
		if _, err := v.HashKV(rev); err != ErrStaleView {
			t.Errorf("at %d: %v", rev, err)
		}
	}
}
