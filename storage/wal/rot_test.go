package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

// span is a frame's place on disk, and the entries in it.
type span struct {
	segment     string
	start, end  int64
	first, last uint64
}

// sealedLog writes a random log of synced frames and proves the last one: by a seal, or by opening it again.
func sealedLog(seed uint64, steps int) (*writer, []span, error) {
	rng := newRand(seed)
	cfg := testConfig
	cfg.SegmentBytes = 8192
	w, err := newWriter(memfs.New(seed, ""), cfg, rng)
	if err != nil {
		return nil, nil, err
	}
	var spans []span
	for range steps {
		r := w.entries()
		if err := w.append(r, true); err != nil {
			return nil, nil, err
		}
		size := frameSize(entriesSize(r.Entries))
		first := r.Entries[0].GetIndex()
		spans = append(spans, span{segmentName(testDir, w.log.number), w.log.off - size, w.log.off, first,
			first + uint64(len(r.Entries)) - 1})
		if rng.IntN(4) == 0 {
			w.setCommit(w.now().last() - rng.Uint64N(min(w.now().last()-w.now().commit+1, 3)))
		}
		if rng.IntN(6) == 0 {
			if err := w.log.Seal(w.now().commit); err != nil {
				return nil, nil, err
			}
		}
	}
	if rng.IntN(2) == 0 {
		if err := w.log.Close(); err != nil {
			return nil, nil, err
		}
		return w, spans, w.open()
	}
	if err := w.log.Seal(w.now().commit); err != nil {
		return nil, nil, err
	}
	return w, spans, w.log.file.Sync()
}

// TestRotIsNeverSilent damages logs whose every frame is proven to have been synced. Opening must either find all
// entries, or refuse with a range that has to do with the damage.
func TestRotIsNeverSilent(t *testing.T) {
	const least = 9_000
	corrupt, harmless := 0, 0
	eachSeed(t, 150, func(t *testing.T, seed uint64) {
		w, spans, err := sealedLog(seed, 40)
		if err != nil {
			t.Error(err)
			return
		}
		rng := newRand(seed + 1000)
		for trial := range 60 {
			img := w.fs.CrashClone(rng, "")
			d, off, n := damageSomething(w, img, rng)
			refused, err := judge(w, img, spans, d, off, n)
			if err != nil {
				t.Errorf("trial %d: damage to %s [%d,+%d): %v", trial, d, off, n, err)
				return
			}
			if refused {
				corrupt++
			} else {
				harmless++
			}
		}
	})
	t.Logf("%d refused as corrupt, %d harmless", corrupt, harmless)
	if n := corrupt + harmless; os.Getenv("QUORUMKV_SEED") == "" && (n < least || corrupt < n/2) {
		t.Errorf("only %d injuries, %d of them refused: want %d", n, corrupt, least)
	}
}

// damageSomething flips a bit, rewrites a sector or page, or makes it unreadable, in the written part of some segment. A
// stretch as long as the last frame and its seal could take both; those trials damage a single bit only, or what tells by
// itself that it is damage. It returns the bytes that changed: some were zeros before.
func damageSomething(w *writer, img *memfs.FS, rng *rand.Rand) (name string, off int64, n int) {
	s := w.log.segments[rng.IntN(len(w.log.segments))]
	name = segmentName(testDir, s.number)
	end := w.log.off
	last := s.number == w.log.number
	if !last {
		end = writtenEnd(img, name)
	}
	off = rng.Int64N(end)
	kind := rng.IntN(5)
	if kind == 4 {
		img.Spoil(name, off, 1)
		off = off / blockBytes * blockBytes // what is read fails by the block
		return name, off, blockBytes
	}
	if kind == 0 || (last && w.log.sealed && w.log.off > w.log.size/8) {
		img.Rot(name, off, 1, func(p []byte) { p[0] ^= 1 << rng.IntN(8) })
		return name, off, 1
	}
	n = 512
	if kind == 3 {
		n = 4096
	}
	off = off / int64(n) * int64(n)
	n = int(min(int64(n), fileSize(img, name)-off))
	from, to := 0, 0
	img.Rot(name, off, n, func(p []byte) {
		before := bytes.Clone(p)
		clear(p)
		if kind == 2 {
			for i := range p {
				p[i] = byte(rng.Uint32())
			}
		}
		from, to = changed(before, p)
	})
	return name, off + int64(from), to - from
}

// changed is the range in which two stretches of the same length differ.
func changed(a, b []byte) (from, to int) {
	to = len(a)
	for from < to && a[from] == b[from] {
		from++
	}
	for from < to && a[to-1] == b[to-1] {
		to--
	}
	return from, to
}

func fileSize(fs *memfs.FS, name string) int64 {
	f, err := fs.Open(name)
	if err != nil {
		panic(err)
	}
	n, err := f.Size()
	if err != nil {
		panic(err)
	}
	return n
}

func readFile(fs *memfs.FS, name string) []byte {
	b := fs.Peek(name)
	if b == nil {
		panic("no file " + name)
	}
	return b
}

func writtenEnd(fs *memfs.FS, name string) int64 {
	b := readFile(fs, name)
	n := len(b)
	for n > 1 && b[n-1] == 0 {
		n--
	}
	return int64(n)
}

// judge opens a damaged image and says whether that was refused.
func judge(w *writer, img *memfs.FS, spans []span, name string, off int64, n int) (refused bool, err error) {
	before, err := img.List(testDir)
	if err != nil {
		return false, err
	}
	_, err = fork(w, img)
	var bad *CorruptError
	if !errors.As(err, &bad) {
		return false, err
	}
	after, err := img.List(testDir)
	if err != nil || fmt.Sprint(before) != fmt.Sprint(after) {
		return true, fmt.Errorf("files %v became %v although the log was refused (%v)", before, after, err)
	}
	if bad.Last != 0 && bad.First > bad.Last {
		return true, fmt.Errorf("impossible range: %w", bad)
	}
	// Where frames were hit whose entries were still in the log, the range must name some of them.
	hit := false
	floor := uint64(1) << 63 // first index that a later frame wrote again
	for i := len(spans) - 1; i >= 0; i-- {
		s := spans[i]
		live := min(s.last, floor-1)
		floor = min(floor, s.first)
		if s.segment != name || live < s.first || s.start >= off+int64(n) || off >= s.end {
			continue
		}
		hit = true
		if (bad.Last == 0 || s.first <= bad.Last) && live >= bad.First {
			return true, nil
		}
	}
	if hit {
		return true, fmt.Errorf("range has none of the damaged frames' entries: %w", bad)
	}
	return true, nil
}
