package mvcc

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A history is a list of steps; the same history can be run with any schedule of flushes, compaction steps and
// restarts.
type step struct {
	compact int64 // compact at this revision, when not 0
	ops     []change
}

type change struct {
	delete   bool
	key, end string
	value    string
	lease    int64
}

var universe = []string{
	"a", "a\x00", "aa", "ab", "b", "b\xff", "c", "cat", "d", "e", "f", "g/1", "g/2", "g/3", "g/4", "h", "\x00", "\xff", "\xff\xff", "z",
}

func anyKey(rng *rand.Rand) string { return universe[rng.IntN(len(universe))] }

func anySpan(rng *rand.Rand) (key, end string) {
	key = anyKey(rng)
	switch rng.IntN(6) {
	case 0:
		return key, ""
	case 1:
		return key, "\x00"
	case 2:
		return "\x00", "\x00"
	case 3:
		return "g/", "g0"
	}
	return key, anyKey(rng) // may be empty
}

func anyValue(rng *rand.Rand) string {
	switch rng.IntN(12) {
	case 0:
		return ""
	case 1:
		return strings.Repeat("large ", rng.IntN(1500))
	}
	return fmt.Sprint("v", rng.Uint32())
}

func anyLease(rng *rand.Rand) int64 {
	switch rng.IntN(4) {
	case 0:
		return int64(rng.Uint64())
	case 1:
		return rng.Int64N(300)
	}
	return 0
}

// anyHistory makes up a history. It needs no model: steps that change nothing are fine.
func anyHistory(rng *rand.Rand, steps int) []step {
	deletes := rng.IntN(5) // how many of ten
	history := make([]step, steps)
	rev := int64(1)
	for i := range history {
		if rng.IntN(12) == 0 {
			history[i].compact = rev - rng.Int64N(8)
			continue
		}
		for range 1 + rng.IntN(4)*rng.IntN(2) {
			c := change{key: anyKey(rng), value: anyValue(rng), lease: anyLease(rng)}
			if rng.IntN(10) < deletes {
				c.delete = true
				if rng.IntN(3) == 0 {
					c.key, c.end = anySpan(rng)
				}
			}
			history[i].ops = append(history[i].ops, c)
		}
		rev++
	}
	return history
}

// schedule says how often, of a hundred steps, each kind of upkeep happens.
type schedule struct {
	flush, step, reopen int
	part                int // of a flush
	recent              Recent
}

// run carries a history out on a store and a model side by side.
type run struct {
	*rig
	m     *model
	rng   *rand.Rand
	views []heldView
}

// heldView is a view kept for later, with what the model was then.
type heldView struct {
	v                 *View
	revision, compact int64
}

func (r *run) carryOut(s step) {
	r.t.Helper()
	if s.compact != 0 {
		want := error(nil)
		switch {
		case s.compact <= r.m.compact:
			want = ErrCompacted
		case s.compact > r.m.revision:
			want = ErrFutureRevision
		default:
			r.m.compact = s.compact
		}
		if err := r.store.Compact(s.compact); err != want {
			r.t.Fatalf("compact at %d: %v, want %v", s.compact, err, want)
		}
		return
	}
	w := r.store.Begin()
	first := len(r.m.rows)
	touched := make(map[string]bool)
	for _, c := range s.ops {
		r.change(w, c, touched)
		if r.rng.IntN(4) == 0 {
			newest := r.m.revision
			if len(r.m.rows) > first {
				newest++
			}
			r.compare(w, newest, r.m.compact, "transaction")
		}
	}
	if w.Changed() != (len(r.m.rows) > first) || !sameEvents(w.Changes(), r.m.rows[first:]) {
		r.t.Fatalf("changes %v, want %v", w.Changes(), r.m.rows[first:])
	}
	w.End()
	r.m.end()
}

// change makes one change, unless an earlier one of the same transaction had a key of it: the API refuses that.
func (r *run) change(w *WriteTxn, c change, touched map[string]bool) {
	r.t.Helper()
	if !c.delete {
		if !touched[c.key] {
			touched[c.key] = true
			w.Put([]byte(c.key), []byte(c.value), c.lease)
			r.m.put(c.key, c.value, c.lease)
		}
		return
	}
	want := 0
	for _, k := range r.m.keys() {
		if inRange(k, c.key, c.end) && touched[k] {
			return
		}
	}
	for _, k := range r.m.keys() {
		if inRange(k, c.key, c.end) && r.m.get(k, r.m.revision+1) != nil {
			touched[k] = true
			r.m.delete(k)
			want++
		}
	}
	if n := w.DeleteRange([]byte(c.key), []byte(c.end)); n != want {
		r.t.Fatalf("deleted %d keys of [%q, %q), want %d", n, c.key, c.end, want)
	}
}

// compare asks a reader something and expects the model's answer.
func (r *run) compare(reader Reader, newest, compact int64, who string) string {
	r.t.Helper()
	if reader.Revision() != newest || reader.CompactRevision() != compact {
		r.t.Fatalf("%s at revision %d, compacted at %d; want %d, %d", who, reader.Revision(), reader.CompactRevision(),
			newest, compact)
	}
	key, end := anySpan(r.rng)
	o := RangeOptions{Limit: r.rng.IntN(5), CountOnly: r.rng.IntN(8) == 0}
	if r.rng.IntN(2) == 0 {
		o.Revision = r.rng.Int64N(newest+3) - 1
	}
	got, err := reader.Range([]byte(key), []byte(end), o)
	want, wantErr := r.m.rangeAt(key, end, o, newest, compact)
	if overtaken := r.m.compact > compact; err != nil && wantErr == nil && overtaken &&
		(o.Revision > 0 && o.Revision < r.m.compact && errors.Is(err, ErrCompacted) ||
			o.Revision <= 0 && newest < r.m.compact && errors.Is(err, ErrStaleView) ||
			o.Revision <= 0 && errors.Is(err, ErrStaleView)) {
		return "overtaken"
	}
	if !errors.Is(err, wantErr) || !sameResult(got, want) {
		r.t.Fatalf("%s at %d, compacted at %d: range [%q, %q) %+v: got %d %v, %v; want %d %v, %v", who, newest, compact,
			key, end, o, got.Count, got.KVs, err, want.Count, want.KVs, wantErr)
	}
	return fmt.Sprint(key, end, o, got.Count, len(got.KVs), err)
}

// follow reads the history from a random revision on, slice by slice, and expects the model's rows.
func (r *run) follow(v *View, newest, compact int64) {
	r.t.Helper()
	from := r.rng.Int64N(newest + 3)
	atMost := 1 + r.rng.IntN(200)
	overtaken := r.m.compact > compact
	want := slices.DeleteFunc(slices.Clone(r.m.rows), func(e Event) bool { return e.Rev.Main < from || e.Rev.Main > newest })
	if max(from, 2) < compact && !v.Recent(max(from, 2)) {
		if _, _, err := v.Events(from, atMost); err != ErrCompacted {
			r.t.Fatalf("history from %d, compacted at %d: %v", from, compact, err)
		}
		return
	}
	for at := max(from, 2); at <= newest; {
		events, next, err := v.Events(at, atMost)
		if err != nil && overtaken && errors.Is(err, ErrStaleView) {
			return
		}
		if err != nil || len(events) == 0 || len(events) > len(want) || !sameEvents(events, want[:len(events)]) {
			r.t.Fatalf("history from %d of %d, compacted at %d, in memory above %d: %v, %v; want %v", at, newest, compact,
				v.base, events, err, want)
		}
		want = want[len(events):]
		if len(want) > 0 && want[0].Rev.Main != next {
			r.t.Fatalf("history from %d goes on at %d, want %d", at, next, want[0].Rev.Main)
		}
		at = next
	}
	if len(want) > 0 {
		r.t.Fatalf("history from %d lacks %v", from, want)
	}
}

// hash compares digests at a random revision.
func (r *run) hash(v *View) string {
	r.t.Helper()
	rev := r.rng.Int64N(r.m.revision + 1)
	if rev > 0 && rev < r.m.compact {
		if _, err := v.HashKV(rev); err != ErrCompacted {
			r.t.Fatalf("hash at %d, compacted at %d: %v", rev, r.m.compact, err)
		}
		rev = 0
	}
	got, err := v.HashKV(rev)
	if rev == 0 {
		rev = r.m.revision
	}
	want := HashKV{Hash: r.m.hashKV(rev, r.m.compact), CompactRevision: r.m.compact, HashRevision: rev}
	if err != nil || got != want {
		r.t.Fatalf("hash at %d, compacted at %d: got %+v, %v; want %+v", rev, r.m.compact, got, err, want)
	}
	return fmt.Sprint(got)
}

// upkeep does what the schedule says, none of which may change an answer.
func (r *run) upkeep(rng *rand.Rand, s schedule) {
	r.t.Helper()
	if rng.IntN(100) < s.flush {
		r.flush()
	}
	if rng.IntN(100) < s.part {
		if r.sealed != nil && !r.committed && rng.IntN(4) == 0 {
			r.giveUp()
		} else {
			r.flushStep()
		}
	}
	if rng.IntN(100) < s.step {
		r.store.CompactStep(1 + rng.IntN(4))
	}
	if rng.IntN(100) < s.reopen {
		r.flush()
		before := r.store
		r.reopen()
		sameStore(r.t, before, r.store)
		for i := range r.views {
			r.views[i].v = nil // they may go on from memory, or be stale: tested elsewhere
		}
		r.views = slices.DeleteFunc(r.views, func(h heldView) bool { return h.v == nil })
	}
}

// sameStore checks that a restart finds the very index that was in memory (etcd #19179).
func sameStore(t testing.TB, a, b *Store) {
	t.Helper()
	type state struct {
		Items                       []string
		Garbage                     []garbage
		Revision, Compact, Finished int64
		Rows, Bytes                 int64
	}
	look := func(s *Store) state {
		st := state{Revision: s.revision, Compact: s.compact, Finished: s.finished, Rows: s.rows, Bytes: s.bytes - s.garbageBytes}
		s.index.ascend(span{unbounded: true}, func(e entry) bool {
			it := *e.it
			it.past = nil // an address
			st.Items = append(st.Items, fmt.Sprintf("%s: %+v after %+v", e.key, it, e.it.before()))
			return true
		})
		for _, c := range slices.Concat(s.condemned.gathered, s.condemned.ordered[s.condemned.taken:]) {
			st.Garbage = append(st.Garbage, c.garbage)
		}
		for i, chunk := range s.garbage.chunks {
			if i == 0 {
				chunk = chunk[s.garbage.head:]
			}
			st.Garbage = append(st.Garbage, chunk...)
		}
		slices.SortFunc(st.Garbage, func(a, b garbage) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.key, b.key))
		})
		compacted := s.garbage.totalAt(s.compact)
		for i, g := range st.Garbage {
			// What is compacted already is in Bytes, and may be gone in part.
			st.Garbage[i].total = max(0, g.total-compacted)
		}
		return st
	}
	if x, y := fmt.Sprintf("%+v", look(a)), fmt.Sprintf("%+v", look(b)); x != y {
		t.Fatalf("restart changed the store\nfrom %s\nto   %s", x, y)
	}
}

// replay runs a history under a schedule and returns a digest of every answer it gave. The questions come from their
// own seed, so that two schedules hear the same ones.
func replay(t testing.TB, history []step, questions uint64, upkeep *rand.Rand, s schedule) uint64 {
	t.Helper()
	r := &run{rig: newRig(t), m: newModel(), rng: rand.New(rand.NewPCG(questions, 1))}
	r.rig.recent = s.recent
	r.reopen()
	hold := rand.New(rand.NewPCG(questions, 2))
	answers := fnv.New64a()
	for _, st := range history {
		r.carryOut(st)
		r.upkeep(upkeep, s)
		v := r.store.View()
		fmt.Fprintln(answers, r.compare(v, r.m.revision, r.m.compact, "view"), v.Keys(), v.LiveBytes())
		if want, _ := r.m.rangeAt("\x00", "\x00", RangeOptions{CountOnly: true}, r.m.revision, r.m.compact); v.Keys() != want.Count {
			t.Fatalf("%d keys, want %d", v.Keys(), want.Count)
		}
		r.follow(v, r.m.revision, r.m.compact)
		if want := r.m.liveBytes(); v.LiveBytes() != want {
			t.Fatalf("%d live bytes, want %d", v.LiveBytes(), want)
		}
		if r.rng.IntN(5) == 0 {
			fmt.Fprintln(answers, r.hash(v))
		}
		// Old views are asked outside the digest: whether they were overtaken may depend on the schedule.
		saved := r.rng
		r.rng = hold
		for _, h := range r.views {
			r.compare(h.v, h.revision, h.compact, "old view")
			r.follow(h.v, h.revision, h.compact)
		}
		if hold.IntN(6) == 0 {
			r.views = append(r.views, heldView{v: v, revision: r.m.revision, compact: r.m.compact})
			if len(r.views) > 5 {
				r.views = slices.Delete(r.views, 0, 1+hold.IntN(4))
			}
		}
		r.rng = saved
	}
	return answers.Sum64()
}

func TestAgainstModel(t *testing.T) {
	forSeeds(t, 30, func(t *testing.T, rng *rand.Rand) {
		s := schedule{flush: rng.IntN(100), step: rng.IntN(100), reopen: rng.IntN(20), part: rng.IntN(100),
			recent: Recent{Rows: rng.IntN(20) - 1, Bytes: rng.IntN(1000) - 1}}
		replay(t, anyHistory(rng, 150), rng.Uint64(), rng, s)
	})
}

// TestScheduleDoesNotMatter runs one history under very different schedules: the answers must be the same.
func TestScheduleDoesNotMatter(t *testing.T) {
	schedules := []schedule{
		{},                                   // all in memory, nothing ever removed
		{flush: 100, recent: Recent{-1, -1}}, // all in bbolt
		{flush: 100, step: 100, recent: Recent{-1, -1}},              // and compacted quickly
		{flush: 7, step: 30},                                         // a bit of both
		{flush: 30, recent: Recent{Rows: 5, Bytes: 1 << 20}},         // and the newest stays in memory
		{flush: 50, step: 50, recent: Recent{Rows: 1000, Bytes: 90}}, //
		{step: 100},                        // rows compacted before they were ever flushed
		{flush: 20, step: 10, reopen: 30},  // compactions resumed by the next life
		{flush: 50, step: 100, reopen: 50}, //
		{part: 30, recent: Recent{-1, -1}}, // changes beside every flush
		{part: 70, step: 50, reopen: 5, recent: Recent{Rows: 5, Bytes: 1 << 20}},
	}
	forSeeds(t, 6, func(t *testing.T, rng *rand.Rand) {
		history := anyHistory(rng, 120)
		questions, upkeep := rng.Uint64(), rng.Uint64()
		var want uint64
		for i, s := range schedules {
			got := replay(t, history, questions, rand.New(rand.NewPCG(upkeep, uint64(i))), s)
			if i == 0 {
				want = got
			} else if got != want {
				t.Fatalf("schedule %+v answers differently from %+v", s, schedules[0])
			}
		}
	})
}

// TestLostFlush restarts without the last changes, as after a crash: the log replays them.
func TestLostFlush(t *testing.T) {
	forSeeds(t, 5, func(t *testing.T, rng *rand.Rand) {
		r := &run{rig: newRig(t), m: newModel(), rng: rng}
		history := anyHistory(rng, 100)
		flushed, sealed := 0, 0
		saved, atSeal := *r.m, *r.m
		for i := 0; i < len(history); {
			r.carryOut(history[i])
			i++
			r.store.CompactStep(rng.IntN(3))
			switch rng.IntN(8) {
			case 0, 2, 3, 4:
				if r.sealed == nil {
					sealed, atSeal = i, *r.m
				}
				if r.flushStep(); r.committed {
					flushed, saved = sealed, atSeal
				}
			case 1:
				r.reopen()
				i = flushed
				*r.m = saved
				r.m.rows = slices.Clone(saved.rows)
			}
			r.compare(r.store.View(), r.m.revision, r.m.compact, "view")
		}
		r.hash(r.store.View())
	})
}

// TestWhatAFlushTookIsGivenBack at rest: a burst of writes leaves no memory for the next one behind.
func TestWhatAFlushTookIsGivenBack(t *testing.T) {
	r := newRig(t)
	begin := func() {
		r.flushStep() // seals
		r.flushStep() // commits
	}
	r.put("a", "1")
	begin()
	r.put("b", "2")
	r.flushStep()
	if r.store.block == nil {
		t.Error("a store that is busy gave the memory of its flush away")
	}
	begin()
	r.flushStep()
	if r.store.block != nil {
		t.Errorf("a store that rests keeps %d bytes for its next flush", cap(r.store.block))
	}
}
