package mvcc

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/quorumkv/quorumkv/storage/backend"
)

func TestEmptyStore(t *testing.T) {
	r := newRig(t)
	for range 2 {
		v := r.store.View()
		if v.Revision() != 1 || v.CompactRevision() != -1 || v.Keys() != 0 || v.LiveBytes() != 0 {
			t.Fatalf("revision %d, compact revision %d, %d keys, %d bytes", v.Revision(), v.CompactRevision(), v.Keys(),
				v.LiveBytes())
		}
		if n := r.store.FreshOps(); n != 0 {
			t.Fatalf("%d changes pending", n)
		}
		r.flush()
		r.reopen()
	}
}

func TestTransaction(t *testing.T) {
	r := newRig(t)
	w := r.store.Begin()
	if w.Changed() || w.Revision() != 1 || w.DeleteRange([]byte("a"), []byte{0}) != 0 {
		t.Fatal("an empty transaction changed something")
	}
	w.End()
	if r.store.Revision() != 1 {
		t.Fatalf("an empty transaction made revision %d", r.store.Revision())
	}
	before := r.store.View()
	if before != r.store.View() {
		t.Error("a view of the same state is another view")
	}
	w = r.store.Begin()
	w.Put([]byte("a"), []byte("1"), 5)
	w.Put([]byte("b"), []byte("2"), 0)
	if w.DeleteRange([]byte("a"), nil) != 1 || w.Revision() != 2 || r.store.Revision() != 1 {
		t.Fatalf("inside: transaction at %d, store at %d", w.Revision(), r.store.Revision())
	}
	w.End()
	want := []Event{{Rev: Revision{2, 0}}, {Rev: Revision{2, 1}}, {Rev: Revision{2, 2}, Delete: true}}
	if got := w.Changes(); !slices.EqualFunc(got, want, func(a, b Event) bool { return a.Rev == b.Rev && a.Delete == b.Delete }) {
		t.Fatalf("changes %v", got)
	}
	if n := before.Keys(); n != 0 {
		t.Errorf("the view before has %d keys", n)
	}
	if v := r.store.View(); v.Keys() != 1 || v.Revision() != 2 {
		t.Errorf("the view after has %d keys at revision %d", v.Keys(), v.Revision())
	}
}

func TestMisuse(t *testing.T) {
	for name, misuse := range map[string]func(s *Store){
		"two transactions":       func(s *Store) { s.Begin(); s.Begin() },
		"view in transaction":    func(s *Store) { s.Begin(); s.View() },
		"compact in transaction": func(s *Store) { s.Begin(); s.Compact(1) },
		"seal in transaction":    func(s *Store) { s.Begin(); s.Seal() },
		"ended twice":            func(s *Store) { w := s.Begin(); w.End(); w.End() },
		"flushed without flush":  func(s *Store) { s.Flushed() },
		"two flushes":            func(s *Store) { s.Seal(); s.Seal() },
		"flushed twice":          func(s *Store) { s.Seal(); s.Flushed(); s.NotFlushed() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: allowed", name)
				}
			}()
			misuse(newRig(t).store)
		}()
	}
}

// TestRevisionIsNotDerived compacts everything away: no row is left, and the revision must still be known (etcd #17780).
func TestRevisionIsNotDerived(t *testing.T) {
	r := newRig(t)
	r.put("a", "1")
	r.delete("a", "")
	w := r.store.Begin()
	w.Put([]byte("b"), nil, 0)
	w.DeleteRange([]byte("b"), nil)
	w.End()
	r.compact(4)
	for !r.store.CompactStep(1) {
	}
	r.flush()
	r.reopen()
	if s := r.store; s.Revision() != 4 || s.CompactRevision() != 4 {
		t.Fatalf("revision %d, compact revision %d", s.Revision(), s.CompactRevision())
	}
	// Only the tombstone at the compact revision is left, and it goes with the next compaction.
	if r.store.rows != 1 || r.store.View().LiveBytes() == 0 {
		t.Fatalf("%d rows", r.store.rows)
	}
	r.put("c", "1")
	r.compact(5)
	r.store.CompactStep(10)
	r.flush()
	r.reopen()
	if r.store.rows != 1 || r.store.View().Keys() != 1 {
		t.Fatalf("%d rows, %d keys", r.store.rows, r.store.View().Keys())
	}
}

func TestCompactErrors(t *testing.T) {
	r := newRig(t)
	r.put("a", "1")
	for _, c := range []struct {
		rev  int64
		want error
	}{{-1, ErrCompacted}, {3, ErrFutureRevision}, {0, nil}, {0, ErrCompacted}, {2, nil}, {1, ErrCompacted}, {2, ErrCompacted}} {
		if err := r.store.Compact(c.rev); err != c.want {
			t.Errorf("compact at %d: %v, want %v", c.rev, err, c.want)
		}
	}
}

// TestCompactStepIsBounded has one key with a long history, and one step that must not do it all.
func TestCompactStepIsBounded(t *testing.T) {
	r := newRig(t)
	const rows = 5000
	for range rows {
		r.put("a", "1")
	}
	r.flush()
	r.compact(r.store.Revision())
	removed := 0
	for steps := 0; ; steps++ {
		done := r.store.CompactStep(7)
		was := removed
		removed = len(r.store.deletes)
		if removed > was+7 || steps > 2*rows/7+1 {
			t.Fatalf("step %d: %d rows removed, and %d before", steps, removed, was)
		}
		if left := r.store.Compactable(); left != rows-1-removed {
			t.Fatalf("step %d: %d rows are left, with %d of %d removed", steps, left, removed, rows-1)
		}
		before := r.store.index.get("a").it.before()
		if len(before)+1 != rows-removed || cap(before) > 2*len(before)+1 && cap(before) > 64 {
			t.Fatalf("%d rows left of %d, room for %d", len(before)+1, rows-removed, cap(before))
		}
		if done {
			break
		}
	}
	if removed != rows-1 {
		t.Fatalf("%d rows removed, want %d", removed, rows-1)
	}
}

// TestCompactionFollowsTheFile supersedes rows in any order: they go in the order in which they are stored, each page once. When
// there are more than are put in order together, those that were superseded first go first.
func TestCompactionFollowsTheFile(t *testing.T) {
	r := newRig(t)
	rng := rand.New(rand.NewPCG(1, 2))
	const keys, garbage = 30_000, 2 * 30_000
	for range 3 {
		for _, k := range rng.Perm(keys) {
			r.put(fmt.Sprint(k), "v")
		}
	}
	for range condemnedRows + 1_000 - garbage {
		r.put("again", "v")
	}
	r.flush()
	r.compact(r.store.Revision())
	for !r.store.CompactStep(100) {
		if n := len(r.store.condemned.gathered); n > condemnedRows {
			t.Fatalf("%d rows gathered", n)
		}
	}
	if n := len(r.store.deletes); n != condemnedRows+999 {
		t.Fatalf("%d rows deleted", n)
	}
	byRevision := func(a, b deletedRow) int { return a.rev.Compare(b.rev) }
	for _, part := range [][]deletedRow{r.store.deletes[:condemnedRows], r.store.deletes[condemnedRows:]} {
		if !slices.IsSortedFunc(part, byRevision) {
			t.Errorf("%d rows from %v to %v are not in order", len(part), part[0].rev, part[len(part)-1].rev)
		}
	}
}

func TestGarbageQueue(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var q garbageQueue
	var all []garbage
	taken, at, total := 0, int64(0), int64(0)
	for range 20_000 {
		switch {
		case rng.IntN(3) > 0 || taken == len(all):
			at += rng.Int64N(3)
			size := rng.IntN(100)
			total += int64(size)
			q.push(at, "k", size)
			all = append(all, garbage{at: at, key: "k", total: total})
		default:
			next := all[taken]
			if q.hasUpTo(next.at-1) || !q.hasUpTo(next.at) || q.pop() != next {
				t.Fatalf("entry %d is not %+v", taken, all[taken])
			}
			taken++
		}
		rev := rng.Int64N(at + 2)
		if taken > 0 {
			rev = max(rev, all[taken-1].at) // compact revisions only grow
		}
		want, n := int64(0), sortedCount(all, rev)
		if n > 0 {
			want = all[n-1].total
		}
		if got := q.totalAt(rev); got != want {
			t.Fatalf("total at %d is %d, want %d", rev, got, want)
		}
		if got := q.waitingAt(rev); got != max(0, n-taken) {
			t.Fatalf("%d entries wait at %d, want %d", got, rev, max(0, n-taken))
		}
	}
}

func sortedCount(all []garbage, rev int64) int {
	n, _ := slices.BinarySearchFunc(all, rev+1, func(g garbage, rev int64) int { return int(g.at - rev) })
	return n
}

// TestPages reads a larger store page by page, at the newest revision and at old ones.
func TestPages(t *testing.T) {
	r := newRig(t)
	const keys = 1000
	for i := range keys {
		r.put(fmt.Sprintf("key/%04d", i), "1")
	}
	shape := r.store.Revision()
	for i := 0; i < keys; i += 3 {
		r.put(fmt.Sprintf("key/%04d", i), "2") // same keys, other values
	}
	updated := r.store.Revision()
	for i := 0; i < keys; i += 5 {
		r.delete(fmt.Sprintf("key/%04d", i), "")
	}
	for pass := range 2 {
		v := r.store.View()
		for _, rev := range []int64{0, updated, shape, shape - 100} {
			var want []string
			for i := range keys {
				if (rev != 0 || i%5 != 0) && (rev != shape-100 || i < keys-100) {
					want = append(want, fmt.Sprintf("key/%04d", i))
				}
			}
			for _, limit := range []int{0, 1, 7, countAhead, 999, 5000} {
				from, n := "key/", 0
				for left := len(want); left > 0; {
					o := RangeOptions{Revision: rev, Limit: limit}
					res, err := v.Range([]byte(from), []byte("key0"), o)
					o.CountOnly = true
					only, countErr := v.Range([]byte(from), []byte{0}, o)
					if err != nil || countErr != nil || res.Count != left || only.Count != left || len(only.KVs) != 0 {
						t.Fatalf("pass %d, revision %d, limit %d, from %q: count %d and %d, want %d (%v, %v)", pass, rev,
							limit, from, res.Count, only.Count, left, err, countErr)
					}
					for _, kv := range res.KVs {
						if string(kv.Key) != want[n] {
							t.Fatalf("got %q, want %q", kv.Key, want[n])
						}
						n++
					}
					left -= len(res.KVs)
					from = want[n-1] + "\x00"
				}
			}
		}
		r.flush()
	}
}

// TestOvertakenView asks a view for what a later compaction has removed.
func TestOvertakenView(t *testing.T) {
	r := newRig(t)
	r.put("a", "1") // 2
	r.put("b", "1") // 3
	r.flush()
	v := r.store.View()
	r.put("a", "2") // 4
	r.compact(4)
	read := func(key string, rev int64) error {
		_, err := v.Range([]byte(key), nil, RangeOptions{Revision: rev})
		return err
	}
	if err := read("a", 0); err != nil {
		t.Errorf("before the rows are removed: %v", err)
	}
	r.store.CompactStep(10)
	r.flush()
	for _, c := range []struct {
		key  string
		rev  int64
		want error
	}{{"a", 0, ErrStaleView}, {"a", 3, ErrCompacted}, {"a", 2, ErrCompacted}, {"b", 0, nil}, {"b", 3, nil}} {
		if err := read(c.key, c.rev); !errors.Is(err, c.want) {
			t.Errorf("%s at %d: %v, want %v", c.key, c.rev, err, c.want)
		}
	}
	if _, err := r.store.View().Range([]byte("a"), nil, RangeOptions{Revision: 4}); err != nil {
		t.Error(err)
	}
}

// TestViewOfAClosedGeneration goes on as long as it needs nothing from the file.
func TestViewOfAClosedGeneration(t *testing.T) {
	r := newRig(t)
	r.put("cold", "1")
	r.flush()
	r.put("hot", "2")
	v := r.store.View()
	r.db.Close()
	if res, err := v.Range([]byte("hot"), nil, RangeOptions{}); err != nil || string(res.KVs[0].Value) != "2" {
		t.Errorf("hot: %v, %v", res, err)
	}
	for _, rev := range []int64{0, 2} {
		if _, err := v.Range([]byte("cold"), nil, RangeOptions{Revision: rev}); !errors.Is(err, ErrStaleView) {
			t.Errorf("cold at %d: %v", rev, err)
		}
	}
	if _, err := v.HashKV(0); !errors.Is(err, ErrStaleView) {
		t.Errorf("hash: %v", err)
	}
}

// TestSnapshot moves a store to another disk through a copy of its file.
func TestSnapshot(t *testing.T) {
	forSeeds(t, 3, func(t *testing.T, rng *rand.Rand) {
		from := &run{rig: newRig(t), m: newModel(), rng: rng}
		for _, s := range anyHistory(rng, 80) {
			from.carryOut(s)
			from.store.CompactStep(rng.IntN(2))
		}
		from.flush()
		to := newRig(t)
		to.put("lost", "1")
		to.flush()
		pr, pw := io.Pipe()
		pin, err := from.db.Pin()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := pin.WriteTo(pw)
			pin.Close()
			pw.CloseWithError(err)
		}()
		staged, err := backend.Stage(to.fs, stateDir, options(), pr)
		if err != nil {
			t.Fatal(err)
		}
		if err := to.db.Close(); err != nil {
			t.Fatal(err)
		}
		if to.db, err = staged.Switch(); err != nil {
			t.Fatal(err)
		}
		to.load()
		sameStore(t, from.store, to.store)
		copied := &run{rig: to, m: from.m, rng: rng}
		for range 50 {
			copied.compare(to.store.View(), from.m.revision, from.m.compact, "copy")
		}
		copied.hash(to.store.View())
	})
}
