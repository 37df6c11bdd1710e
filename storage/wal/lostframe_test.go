package wal

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

// TestLostFrames damages logs that were overwritten, reset, compacted, cut off by crashes and opened again. What their intact
// headers say of lost entries must hold for the log that was written: a right answer of a peer is never refused. Any other
// entries are.
func TestLostFrames(t *testing.T) {
	const least = 500
	checked, whole := 0, 0
	eachSeed(t, 150, func(t *testing.T, seed uint64) {
		w, err := troubledLog(seed, 60)
		if err != nil {
			t.Error(err)
			return
		}
		rng := newRand(seed + 3000)
		for trial := range 60 {
			img := w.fs.CrashClone(rng, "")
			what := ""
			for range 1 + rng.IntN(3) {
				name, off, n := damageSomething(w, img, rng)
				what += fmt.Sprintf(" %s [%d,+%d)", name, off, n)
				if name == segmentName(testDir, w.log.number) {
					break // more could take the last frame and its seal
				}
			}
			r, err := Salvage(img, testDir, w.cfg, 0)
			if errors.Is(err, env.ErrUnreadable) {
				continue // the only segment's header
			}
			if err != nil {
				t.Errorf("trial %d: damage to%s: %v", trial, what, err)
				return
			}
			if r.Damage == nil || !r.Complete {
				continue
			}
			whole++
			checked += len(r.Lost)
			for _, f := range r.Lost {
				if err := tells(f, w.now()); err != nil {
					t.Errorf("trial %d: damage to%s: %v (%v)", trial, what, err, r.Damage)
					return
				}
			}
		}
	})
	t.Logf("%d logs with lost entries of which the end was known, %d headers of lost frames", whole, checked)
	if os.Getenv("QUORUMKV_SEED") == "" && checked < least {
		t.Errorf("only %d headers, want %d", checked, least)
	}
}

// troubledLog writes a random log across crashes and proves its last frame: by a seal, or by opening it again.
func troubledLog(seed uint64, steps int) (*writer, error) {
	rng := newRand(seed)
	cfg := testConfig
	cfg.SegmentBytes = []int64{4096, 20_000}[rng.IntN(2)]
	w, err := newWriter(memfs.New(seed, ""), cfg, rng)
	if err != nil {
		return nil, err
	}
	for i := range steps {
		if err := w.step(); err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
		switch rng.IntN(10) {
		case 0:
			w, err = fork(w, w.fs.CrashClone(rng, ""))
		case 1:
			w, err = fork(w, w.fs.ProcessCrash())
		}
		if err != nil {
			return nil, fmt.Errorf("step %d, crash: %w", i, err)
		}
	}
	if err := w.append(w.entries(), true); err != nil {
		return nil, err
	}
	if rng.IntN(2) == 0 {
		if err := w.log.Close(); err != nil {
			return nil, err
		}
		return w, w.open()
	}
	if err := w.log.Seal(w.now().commit); err != nil {
		return nil, err
	}
	return w, w.log.file.Sync()
}

// tells compares a lost frame's header with what was written.
func tells(f LostFrame, m model) error {
	if f.First <= m.base.Index || f.Last > m.last() {
		return fmt.Errorf("a lost frame has entries %d to %d, the log %d to %d", f.First, f.Last, m.base.Index+1, m.last())
	}
	entries := slices.Clone(m.from(f.First - 1)[:f.Last-f.First+1])
	if err := f.Check(entries); err != nil {
		return err
	}
	for i, e := range entries {
		for what, other := range others(e) {
			entries[i] = other
			if f.Check(entries) == nil {
				return fmt.Errorf("entry %d may have another %s", e.GetIndex(), what)
			}
		}
		entries[i] = e
	}
	return nil
}

// others are entries that differ from e in one way each.
func others(e *raftpb.Entry) map[string]*raftpb.Entry {
	all := map[string]*raftpb.Entry{}
	for what, change := range map[string]func(*raftpb.Entry){
		"index":  func(e *raftpb.Entry) { *e.Index++ },
		"term":   func(e *raftpb.Entry) { *e.Term-- },
		"type":   func(e *raftpb.Entry) { e.Type = raftpb.EntryConfChangeV2.Enum() },
		"length": func(e *raftpb.Entry) { e.Data = append(slices.Clip(e.Data), 0) },
	} {
		other := proto.CloneOf(e)
		change(other)
		all[what] = other
	}
	if len(e.Data) > 0 {
		other := proto.CloneOf(e)
		other.Data[len(e.Data)/2] ^= 1
		all["data"] = other
	}
	return all
}

// A frame that a crash tore, and the boot after it cut off, says nothing of what the log has at its indexes.
func TestTornFrameIsNoLostFrame(t *testing.T) {
	w, err := newWriter(memfs.New(1, ""), Config{SegmentBytes: 64 << 10}, newRand(1))
	must(t, err)
	must(t, w.append(Record{Entries: []*raftpb.Entry{entry(2, 2, "a"), entry(3, 2, "b"), entry(4, 2, "c")}}, true))
	must(t, w.append(Record{Entries: []*raftpb.Entry{entry(5, 2, "d")}}, true))
	must(t, w.append(Record{Entries: []*raftpb.Entry{entry(4, 3, "never acknowledged")}}, false))
	frames := framesOf(w)
	rot := func(s span) { w.fs.Rot(s.segment, s.end-1, 1, func(p []byte) { p[0] ^= 1 }) }
	rot(frames[2])
	must(t, w.log.Close())
	must(t, w.open())
	if w.torn == "" || w.now().last() != 5 {
		t.Fatalf("nothing was cut off (%q), the log ends at %d", w.torn, w.now().last())
	}

	rot(frames[0])
	r, err := Salvage(w.fs, testDir, w.cfg, 0)
	must(t, err)
	if len(r.Lost) != 0 || !r.Complete || r.Behind != (Snapshot{Index: 4, Term: 2}) {
		t.Errorf("with the torn frame as the last word on entry 4: %+v", r)
	}

	rot(frames[1])
	r, err = Salvage(w.fs, testDir, w.cfg, 0)
	must(t, err)
	if len(r.Lost) != 0 || !r.Complete || r.Behind != (Snapshot{Index: 4, Term: 2}) || len(r.Tail) != 1 {
		t.Errorf("with two lost frames in front of the torn one: %+v", r)
	}
}
