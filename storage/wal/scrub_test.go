package wal

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

// framesOf returns where the frames of a log lie that its next scrub has to read.
func framesOf(w *writer) (found []span) {
	for i, info := range w.log.segments {
		name := segmentName(testDir, info.number)
		crc := newSegmentCRC(w.cfg.Seed, info.number)
		b := w.fs.Peek(name)
		_, off, err := decodeSegmentHeader(b, crc)
		if err != nil {
			panic(err)
		}
		end := w.log.seq
		if i+1 < len(w.log.segments) {
			number := w.log.segments[i+1].number
			next, _, err := decodeSegmentHeader(w.fs.Peek(segmentName(testDir, number)), newSegmentCRC(w.cfg.Seed, number))
			if err != nil {
				panic(err)
			}
			end = next.lastSeq
		}
		for {
			h, ok := decodeFrameHeader(b[off:], crc.at(int64(off)))
			if !ok || h.seq > end {
				break
			}
			found = append(found, span{name, off, off + frameHeaderSize + int64(h.payload), h.first, h.last()})
			off += h.size()
		}
	}
	return found
}

// scrubAll scrubs in random pieces. found is what it came across, as an error or as something that nothing is missed for.
func scrubAll(w *writer) (found string, err error) {
	s := NewScrub(w.fs, testDir, w.cfg, w.log.Extent())
	for {
		_, done, err := s.Next(1 + w.rng.Int64N(4000))
		var bad *CorruptError
		switch {
		case errors.As(err, &bad):
			return bad.Error(), nil
		case err != nil:
			return "", err
		case done:
			what, _ := s.Leftovers()
			return what, nil
		}
	}
}

// TestScrubFindsAnyDamage damages every frame of logs in use at a random place, one after the other, and once makes it
// unreadable. A scrub must find each, and nothing when nothing is damaged. Renewed from memory, the log is whole.
func TestScrubFindsAnyDamage(t *testing.T) {
	damaged := 0
	eachSeed(t, 40, func(t *testing.T, seed uint64) {
		w, _, err := sealedLog(seed, 40)
		if err != nil {
			t.Error(err)
			return
		}
		if found, err := scrubAll(w); found != "" || err != nil {
			t.Errorf("sound: %s (%v)", found, err)
			return
		}
		frames := framesOf(w)
		for _, f := range frames {
			at, bit := f.start+w.rng.Int64N(f.end-f.start), byte(1)<<w.rng.IntN(8)
			flip := func(p []byte) { p[0] ^= bit }
			w.fs.Rot(f.segment, at, 1, flip)
			damaged++
			if found, err := scrubAll(w); found == "" || err != nil {
				t.Errorf("bit flipped at %s:%d, in %+v: not found (%v)", f.segment, at, f, err)
				return
			}
			w.fs.Rot(f.segment, at, 1, flip)
		}
		f := frames[w.rng.IntN(len(frames))]
		w.fs.Spoil(f.segment, f.start, 1)
		if found, err := scrubAll(w); found == "" || err != nil {
			t.Errorf("unreadable at %s:%d: not found (%v)", f.segment, f.start, err)
			return
		}
		m := w.now()
		base := Snapshot{Index: m.commit, Term: m.term(m.commit)}
		if err := w.log.Renew(base, m.from(base.Index)); err != nil {
			t.Error(err)
			return
		}
		w.states[0].compacted = max(m.compacted, base.Index)
		if found, err := scrubAll(w); found != "" || err != nil {
			t.Errorf("renewed: %s (%v)", found, err)
			return
		}
		if err := errors.Join(w.append(w.entries(), true), w.log.Close(), w.open()); err != nil {
			t.Errorf("renewed, appended to and opened: %v", err)
		}
	})
	t.Logf("%d frames damaged", damaged)
}

// TestScrubBesideALog lets the log roll, compact and reset between the pieces of a scrub. What it finds must be that a
// segment is gone, and then the log must say so too.
func TestScrubBesideALog(t *testing.T) {
	void, done := 0, 0
	eachSeed(t, 60, func(t *testing.T, seed uint64) {
		w, err := newWriter(memfs.New(seed, ""), testConfig, newRand(seed))
		if err != nil {
			t.Error(err)
			return
		}
		for range 20 {
			for range 10 {
				if err := w.step(); err != nil {
					t.Error(err)
					return
				}
			}
			s := NewScrub(w.fs, testDir, w.cfg, w.log.Extent())
			for {
				_, end, err := s.Next(300)
				var bad *CorruptError
				if errors.As(err, &bad) && s.Reading < w.log.Extent().Oldest {
					void++
					break
				}
				if err != nil {
					t.Errorf("segment %d, the oldest is %d: %v", s.Reading, w.log.Extent().Oldest, err)
					return
				}
				if end {
					done++
					break
				}
				if err := w.step(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	if void == 0 || done == 0 {
		t.Errorf("%d scrubs came to their end, %d met a segment that was gone: both should happen", done, void)
	}
}

// A file that is removed behind the log's back is found, and Renew brings its entries back.
func TestScrubMissesAFile(t *testing.T) {
	w, _, err := sealedLog(3, 40)
	must(t, err)
	name := segmentName(testDir, w.log.segments[1].number)
	must(t, w.fs.Remove(name))
	found, err := scrubAll(w)
	if err != nil || found != (&CorruptError{Segment: name, Reason: "the file is missing"}).Error() {
		t.Fatalf("found %q (%v)", found, err)
	}
	m := w.now()
	base := Snapshot{Index: m.commit, Term: m.term(m.commit)}
	must(t, w.log.Renew(base, m.from(base.Index)))
	if found, err := scrubAll(w); found != "" || err != nil {
		t.Errorf("renewed: %s (%v)", found, err)
	}
}

// Renew takes nothing but what the log holds.
func TestRenewRefusesAnotherLog(t *testing.T) {
	for what, change := range map[string]func(base *Snapshot, last *uint64){
		"another term":    func(base *Snapshot, _ *uint64) { base.Term++ },
		"an end too soon": func(_ *Snapshot, last *uint64) { *last-- },
	} {
		w, _, err := sealedLog(3, 20)
		must(t, err)
		m := w.now()
		base, last := Snapshot{Index: m.commit, Term: m.term(m.commit)}, m.last()
		change(&base, &last)
		if err := w.log.Renew(base, m.from(m.commit)[:last-m.commit]); err == nil {
			t.Errorf("a log with %s was taken", what)
		}
	}
}

// What the disk cannot read is never taken for the end of the log, not even where nothing else says that it was written.
func TestUnreadableEndIsNoTornWrite(t *testing.T) {
	cfg := testConfig
	cfg.SegmentBytes = 16 << 10
	w, err := newWriter(memfs.New(1, ""), cfg, newRand(1))
	must(t, err)
	must(t, w.append(Record{Entries: []*raftpb.Entry{entry(2, 2, strings.Repeat("long", 2000))}}, true))
	must(t, w.append(Record{Entries: []*raftpb.Entry{entry(3, 2, "last")}}, true))
	last := framesOf(w)[len(framesOf(w))-1]
	w.fs.Rot(last.segment, last.start, 1, func(p []byte) { p[0] ^= 1 })
	if _, _, err := Open(w.fs.CrashClone(newRand(2), ""), testDir, w.cfg, 0); err != nil {
		t.Fatalf("a damaged frame without evidence is no torn write: %v", err)
	}
	w.fs.Spoil(last.segment, last.start, 1)
	_, _, err = Open(w.fs, testDir, w.cfg, 0)
	var bad *CorruptError
	if !errors.As(err, &bad) {
		t.Fatalf("opened with %v", err)
	}
	if r, err := Salvage(w.fs, testDir, w.cfg, 0); err != nil || r.Complete {
		t.Errorf("the end is said to be known: %+v (%v)", r, err)
	}
}

// A boot writes the last frame again because nobody knows whether it was synced. If the first copy is damaged later, a power cut
// may have done that; but none leaves what the disk cannot read.
func TestFirstCopyOfTheLastFrame(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(w *writer, last span)
		rotten bool
	}{
		"changed":    {func(w *writer, f span) { w.fs.Rot(f.segment, f.end-1, 1, func(p []byte) { p[0] ^= 1 }) }, false},
		"unreadable": {func(w *writer, f span) { w.fs.Spoil(f.segment, f.end-1, 1) }, true},
	} {
		cfg := testConfig
		cfg.SegmentBytes = 16 << 10
		w, err := newWriter(memfs.New(1, ""), cfg, newRand(1))
		must(t, err)
		must(t, w.append(Record{Entries: []*raftpb.Entry{entry(2, 2, strings.Repeat("long", 2000))}}, true)) // more than a sector
		frames := framesOf(w)
		w, err = fork(w, w.fs.ProcessCrash())
		must(t, err)
		c.damage(w, frames[len(frames)-1])
		s := NewScrub(w.fs, testDir, w.cfg, w.log.Extent())
		_, done, err := s.Next(math.MaxInt64)
		if what, rotten := s.Leftovers(); err != nil || !done || what == "" || rotten != c.rotten {
			t.Errorf("%s: found %q, taken for rot: %t (done: %t, %v)", name, what, rotten, done, err)
		}
	}
}

// If nothing can be read of a log it is no damage that others could repair, but a device that is gone.
func TestUnreadableDeviceIsRefused(t *testing.T) {
	w, _, err := sealedLog(5, 40)
	must(t, err)
	names := []string{}
	for _, s := range w.log.segments {
		names = append(names, segmentName(testDir, s.number))
	}
	for i, name := range slices.Backward(names) {
		w.fs.Spoil(name, 0, len(w.fs.Peek(name)))
		_, _, err := Open(w.fs, testDir, w.cfg, 0)
		_, salvage := Salvage(w.fs, testDir, w.cfg, 0)
		var bad *CorruptError
		if i > 0 && (!errors.As(err, &bad) || salvage != nil) {
			t.Fatalf("with %d of %d segments left: %v, %v", i, len(names), err, salvage)
		}
		if i == 0 && (errors.As(err, &bad) || !errors.Is(err, env.ErrUnreadable) || !errors.Is(salvage, env.ErrUnreadable)) {
			t.Fatalf("with none left: %v, %v", err, salvage)
		}
	}
}

// TestMend damages the hard state and the identity in each of their copies and ways. Both are whole afterwards, whatever
// the crash on the way.
func TestMend(t *testing.T) {
	id := Identity{ClusterID: 7, MemberID: 9, Incarnation: [16]byte{5}, Bootstrap: []byte("members")}
	hs := HardState{Term: 4, Vote: 2, BootEpoch: 3}
	flip := func(p []byte) { p[len(p)/2] ^= 4 }
	damages := map[string]func(f *memfs.FS){
		"nothing":           func(*memfs.FS) {},
		"copy 1":            func(f *memfs.FS) { f.Rot(hardStateName, 0, hardUsed, flip) },
		"copy 2":            func(f *memfs.FS) { f.Rot(hardStateName, hardCopySize, hardUsed, flip) },
		"copy 2 unreadable": func(f *memfs.FS) { f.Spoil(hardStateName, hardCopySize, 1) },
		"both copies": func(f *memfs.FS) {
			f.Rot(hardStateName, 0, hardUsed, flip)
			f.Rot(hardStateName, hardCopySize, hardUsed, func(p []byte) { clear(p) })
		},
		"an older copy": func(f *memfs.FS) {
			f.Rot(hardStateName, 0, hardCopySize, func(p []byte) { encodeHardState(p, 1, HardState{Term: 1}) })
		},
		"hard state gone":     func(f *memfs.FS) { f.Remove(hardStateName); f.SyncDir(root) },
		"identity":            func(f *memfs.FS) { f.Rot(identityName, 0, identityFixedSize, flip) },
		"identity unreadable": func(f *memfs.FS) { f.Spoil(identityName, 0, 1) },
		"identity gone":       func(f *memfs.FS) { f.Remove(identityName); f.SyncDir(root) },
		"another identity": func(f *memfs.FS) {
			other := id
			other.MemberID++
			f.Rot(identityName, 0, len(encodeIdentity(id)), func(p []byte) { copy(p, encodeIdentity(other)) })
		},
	}
	for what, damage := range damages {
		t.Run(what, func(t *testing.T) {
			for k := 1; ; k++ {
				f := memfs.New(uint64(k), "")
				must(t, CreateIdentity(f, id))
				h := newHardState(t, f, HardState{})
				must(t, h.Save(hs))
				damage(f)
				sound := whole(f, id, hs) == nil
				f.SetHook(memfs.CrashAt(k))
				var found []error
				crashed, err := memfs.Catch(func() error {
					hard, err1 := h.Mend(f)
					identity, err2 := MendIdentity(f, id)
					found = append(found, hard, identity)
					return errors.Join(err1, err2)
				})
				f.SetHook(nil)
				if crashed {
					// As good as before, or better.
					if now := whole(f.CrashClone(newRand(uint64(k)), ""), id, hs); sound && now != nil {
						t.Fatalf("crash at operation %d: %v", k, now)
					}
					continue
				}
				must(t, err)
				if (errors.Join(found...) == nil) != (what == "nothing") {
					t.Fatalf("found %v", found)
				}
				if err := whole(f.CrashClone(newRand(1), ""), id, hs); err != nil {
					t.Fatal(err)
				}
				next := HardState{Term: 5, Vote: 1, BootEpoch: 3}
				must(t, h.Save(next))
				if err := whole(f.CrashClone(newRand(2), ""), id, next); err != nil {
					t.Fatalf("saved after it was mended: %v", err)
				}
				return
			}
		})
	}
}

// whole says what is wrong with identity and hard state.
func whole(f *memfs.FS, id Identity, hs HardState) error {
	got, err := LoadIdentity(f)
	if err == nil && !sameIdentity(got, id) {
		err = fmt.Errorf("identity %+v", got)
	}
	copies, err2 := InspectHardState(f)
	for _, c := range copies {
		if c.Damage != nil || c.State != hs {
			err2 = errors.Join(err2, fmt.Errorf("copy %+v", c))
		}
	}
	return errors.Join(err, err2)
}

// Who has no room, or nobody who looks, changes nothing; and a Save that found no space is no damage.
func TestMendWithoutSpace(t *testing.T) {
	f := memfs.New(1, "")
	h := newHardState(t, f, HardState{})
	must(t, h.Save(HardState{Term: 4}))
	f.Rot(hardStateName, 0, 1, func(p []byte) { p[0] ^= 1 })
	before := f.Peek(hardStateName)
	f.SetCapacity(f.Used())
	if damage, err := h.Mend(f); damage == nil || !errors.Is(err, env.ErrNoSpace) {
		t.Fatalf("on a full disk: %v, %v", damage, err)
	}
	if got := f.Peek(hardStateName); !slices.Equal(got, before) {
		t.Error("the file has changed")
	}
	f.SetCapacity(memfs.Unlimited)
	broken := errors.New("too many open files")
	f.SetHook(func(op memfs.Op) error {
		if op.Kind == memfs.OpOpen {
			return broken
		}
		return nil
	})
	if damage, err := h.Mend(f); damage != nil || !errors.Is(err, broken) {
		t.Fatalf("nobody could look: %v, %v", damage, err)
	}
	f.SetHook(nil)
	if damage, err := h.Mend(f); damage == nil || err != nil {
		t.Fatalf("with space: %v, %v", damage, err)
	}
	must(t, h.Save(HardState{Term: 5}))

	n := 0
	f.SetHook(func(op memfs.Op) error {
		if n++; op.Kind == memfs.OpWrite && n > 1 {
			return env.ErrNoSpace
		}
		return nil
	})
	if err := h.Save(HardState{Term: 6}); !errors.Is(err, env.ErrNoSpace) {
		t.Fatal(err)
	}
	f.SetHook(nil)
	if damage, err := h.Mend(f); damage != nil || err != nil {
		t.Errorf("half a save is no damage: %v, %v", damage, err)
	}
}
