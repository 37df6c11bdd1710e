package wal

import (
	"fmt"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// TestSalvage damages sealed logs in one or two places until Open refuses them. What Salvage says of them must be true of
// the log that was written: the prefix up to the commit index, and the end if it claims to know it. With what a peer would
// send for the gap, the log is rebuilt and opens.
func TestSalvage(t *testing.T) {
	refused, complete := 0, 0
	eachSeed(t, 50, func(t *testing.T, seed uint64) {
		w, _, err := sealedLog(seed, 40)
		if err != nil {
			t.Error(err)
			return
		}
		rng := newRand(seed + 2000)
		for trial := range 40 {
			img := w.fs.CrashClone(rng, "")
			what := ""
			for range 1 + rng.IntN(2) {
				name, off, n := damageSomething(w, img, rng)
				what += fmt.Sprintf(" %s [%d,+%d)", name, off, n)
				if name == segmentName(testDir, w.log.number) {
					break // more could take the last frame and its seal
				}
			}
			r, err := Salvage(img, testDir, w.cfg, 0)
			if err != nil {
				t.Errorf("trial %d: damage to%s: %v", trial, what, err)
				return
			}
			if r.Damage == nil {
				continue
			}
			refused++
			if r.Complete {
				complete++
			}
			if err := holds(w.now(), r); err != nil {
				t.Errorf("trial %d: damage to%s: %v (%v)", trial, what, err, r.Damage)
				return
			}
			base, entries := r.Base, w.now().from(max(r.Base.Index, w.now().base.Index))
			if base.Index == 0 {
				base = w.now().base
			}
			if err := Rebuild(img, testDir, w.cfg, base, entries, r.Commit); err != nil {
				t.Errorf("trial %d: rebuild after damage to%s: %v", trial, what, err)
				return
			}
			l, got, err := Open(img, testDir, w.cfg, 0)
			if err != nil || got.Base.Index != base.Index || !slices.EqualFunc(got.Entries, entries, sameEntry) {
				t.Errorf("trial %d: rebuilt after damage to%s: %v, %d entries of %d", trial, what, err, len(got.Entries),
					len(entries))
				return
			}
			l.Close()
		}
	})
	if refused == 0 || complete < refused/2 {
		t.Errorf("of %d logs with lost entries the end was known of %d only", refused, complete)
	}
	t.Logf("%d logs with lost entries, the end of %d known", refused, complete)
}

// holds compares what was salvaged with what was written.
func holds(m model, r Remains) error {
	if r.Commit > max(m.commit, m.base.Index) {
		return fmt.Errorf("commit index %d, it was %d", r.Commit, m.commit)
	}
	for _, e := range r.Entries[:max(r.Commit, r.Base.Index)-r.Base.Index] {
		if e.GetIndex() > m.base.Index && !sameEntry(e, m.from(e.GetIndex() - 1)[0]) {
			return fmt.Errorf("committed entry %v was salvaged as another", e)
		}
	}
	if !r.Complete {
		return nil
	}
	if last := r.Behind.Index + uint64(len(r.Tail)); last != m.last() {
		return fmt.Errorf("it ends at %d, it did at %d", last, m.last())
	}
	if b := r.Behind; b.Index > m.base.Index && m.from(b.Index - 1)[0].GetTerm() != b.Term {
		return fmt.Errorf("behind the gap is entry %d of term %d, it was of another", b.Index, b.Term)
	}
	if !slices.EqualFunc(r.Tail, m.from(max(r.Behind.Index, m.base.Index)), sameEntry) {
		return fmt.Errorf("the entries behind %d are others", r.Behind.Index)
	}
	return nil
}

// from returns the entries behind an index.
func (m model) from(index uint64) []*raftpb.Entry { return m.entries[index-m.base.Index:] }

func sameEntry(a, b *raftpb.Entry) bool { return proto.Equal(a, b) }
