package snap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/cespare/xxhash/v2"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

const testDir = "snap"

var testMeta = Meta{Index: 300, Term: 7, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}, Learners: []uint64{4}}}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eachSeed runs f for a fixed list of seeds, or for QUORUMKV_SEED alone.
func eachSeed(t *testing.T, n uint64, f func(t *testing.T, seed uint64)) {
	t.Helper()
	first, last := uint64(1), n
	if s := os.Getenv("QUORUMKV_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 0, 64)
		must(t, err)
		first, last = seed, seed
	}
	for seed := first; seed <= last; seed++ {
		f(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d; repeat with: QUORUMKV_SEED=%d go test ./storage/snap -run '^%s$'", seed, seed, t.Name())
		}
	}
}

func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// writeSnapshot writes content in pieces of random size.
func writeSnapshot(fs env.FS, m Meta, content []byte, rng *rand.Rand) error {
	w, err := Create(fs, testDir, m, int64(len(content)))
	if err != nil {
		return err
	}
	for rest := content; len(rest) > 0; {
		n := 1 + rng.IntN(min(len(rest), 100_000))
		if _, err := w.Write(rest[:n]); err != nil {
			return errors.Join(err, w.Abort())
		}
		rest = rest[n:]
	}
	return w.Finish()
}

func wholeFile(t *testing.T, r *Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	must(t, err)
	return b
}

// transfer sends a snapshot file in chunks, some of them twice or too early.
func transfer(fs env.FS, m Meta, file []byte, rng *rand.Rand) error {
	rc, err := Receive(fs, testDir, m, int64(len(file)))
	if err != nil {
		return err
	}
	for rc.Offset() < int64(len(file)) {
		off := rc.Offset()
		n := min(1+rng.Int64N(70_000), int64(len(file))-off)
		if rng.IntN(4) == 0 {
			wrong := rng.Int64N(int64(len(file)))
			err := rc.Chunk(wrong, file[wrong:wrong+1])
			if wrong != off && !errors.Is(err, ErrWrongOffset) {
				return errors.Join(fmt.Errorf("chunk at %d instead of %d: %w", wrong, off, err), rc.Abort())
			}
			continue
		}
		if err := rc.Chunk(off, file[off:off+n]); err != nil {
			return errors.Join(err, rc.Abort())
		}
	}
	return rc.Finish()
}

func TestWriteReadReceive(t *testing.T) {
	eachSeed(t, 20, func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := testMeta
		if rng.IntN(3) == 0 {
			m.ConfState = nil
		}
		content := noise(rng, rng.IntN(3*chunkBytes)*rng.IntN(2))
		from, to := memfs.New(seed, ""), memfs.New(seed+1, "")
		must(t, writeSnapshot(from, m, content, rng))

		r, err := Open(from, testDir, m.Index, m.Term)
		must(t, err)
		must(t, r.Verify())
		if !sameMeta(r.Meta(), m) || (r.Meta().ConfState == nil) != (m.ConfState == nil) {
			t.Fatalf("meta %v", r.Meta())
		}
		must(t, transfer(to, m, wholeFile(t, r), rng))
		must(t, r.Close())

		r, err = Open(to, testDir, m.Index, m.Term)
		must(t, err)
		got, err := io.ReadAll(r.Content())
		must(t, err)
		if !bytes.Equal(got, content) {
			t.Fatal("content changed on the way")
		}
		must(t, r.Close())
	})
}

// TestDamage flips each bit of small snapshots. Nobody may see the content end well.
func TestDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	fs := memfs.New(1, "")
	content := noise(rng, 200)
	must(t, writeSnapshot(fs, testMeta, content, rng))
	name := FileName(testDir, testMeta.Index, testMeta.Term)
	r, err := Open(fs, testDir, testMeta.Index, testMeta.Term)
	must(t, err)
	file := wholeFile(t, r)
	for bit := range len(file) * 8 {
		img := fs.CrashClone(rng, "")
		flip := func(p []byte) { p[0] ^= 1 << (bit % 8) }
		img.Rot(name, int64(bit/8), 1, flip)
		err := func() error {
			r, err := Open(img, testDir, testMeta.Index, testMeta.Term)
			if err != nil {
				return err
			}
			if _, err := io.ReadAll(r.Content()); !errors.Is(err, ErrDamaged) {
				return fmt.Errorf("content ended with %v", err)
			}
			return r.Verify()
		}()
		if !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d flipped on disk: %v", bit, err)
		}
		sent := bytes.Clone(file)
		flip(sent[bit/8:])
		if err := transfer(img, testMeta, sent, rng); !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d flipped on the way: %v", bit, err)
		}
	}
	for n := range file {
		img := memfs.New(1, "")
		must(t, img.MkdirAll(testDir))
		f, err := img.Create(name, 0)
		must(t, err)
		_, err = f.WriteAt(file[:n], 0)
		must(t, err)
		if _, err := Open(img, testDir, testMeta.Index, testMeta.Term); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// What the disk cannot read is damage, wherever it is: the file is of no use, and another can be had.
func TestUnreadable(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	fs := memfs.New(1, "")
	must(t, writeSnapshot(fs, testMeta, noise(rng, 4000), rng))
	name := FileName(testDir, testMeta.Index, testMeta.Term)
	for off := int64(0); off < int64(len(fs.Peek(name))); off += 512 {
		img := fs.CrashClone(rng, "")
		img.Spoil(name, off, 1)
		r, err := Open(img, testDir, testMeta.Index, testMeta.Term)
		if err == nil {
			err = r.Verify()
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("sector at %d is unreadable: %v", off, err)
		}
	}
}

func TestReceiveRefuses(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	fs := memfs.New(1, "")
	must(t, writeSnapshot(fs, testMeta, noise(rng, 5000), rng))
	r, err := Open(fs, testDir, testMeta.Index, testMeta.Term)
	must(t, err)
	file := wholeFile(t, r)

	for what, m := range map[string]Meta{
		"index":     {Index: 301, Term: 7, ConfState: testMeta.ConfState},
		"term":      {Index: 300, Term: 8, ConfState: testMeta.ConfState},
		"ConfState": {Index: 300, Term: 7, ConfState: &raftpb.ConfState{Voters: []uint64{1}}},
	} {
		if err := transfer(memfs.New(1, ""), m, file, rng); !errors.Is(err, ErrDamaged) {
			t.Errorf("another %s was announced: %v", what, err)
		}
	}
	to := memfs.New(2, "")
	rc, err := Receive(to, testDir, testMeta, int64(len(file)))
	must(t, err)
	must(t, rc.Chunk(0, file[:100]))
	if err := rc.Chunk(100, make([]byte, len(file))); err == nil {
		t.Error("took more than was announced")
	}
	if err := rc.Finish(); err == nil {
		t.Error("finished early")
	}
	must(t, rc.Abort())
	if names, err := to.List(testDir); err != nil || len(names) > 0 {
		t.Errorf("left %v, %v", names, err)
	}
	if _, err := Receive(to, testDir, testMeta, 10); err == nil {
		t.Error("a snapshot of 10 bytes")
	}
	to.SetCapacity(100)
	if _, err := Receive(to, testDir, testMeta, 1000); !errors.Is(err, env.ErrNoSpace) {
		t.Errorf("full disk: %v", err)
	}
	if _, err := Create(to, testDir, testMeta, 1000); !errors.Is(err, env.ErrNoSpace) {
		t.Errorf("full disk: %v", err)
	}
}

// TestCrash crashes before every operation of writing and receiving: a snapshot that is listed is whole, one that was
// finished is there, and Sweep leaves nothing else.
func TestCrash(t *testing.T) {
	eachSeed(t, 8, func(t *testing.T, seed uint64) {
		content := noise(rand.New(rand.NewPCG(seed, 2)), 3000)
		next := Meta{Index: 400, Term: 7}
		source := memfs.New(seed, "")
		must(t, writeSnapshot(source, next, content, rand.New(rand.NewPCG(seed, 3))))
		r, err := Open(source, testDir, next.Index, next.Term)
		must(t, err)
		file := wholeFile(t, r)
		for k := 1; ; k++ {
			rng := rand.New(rand.NewPCG(seed, uint64(k)))
			fs := memfs.New(seed, "")
			fs.SetHook(memfs.CrashAt(k))
			done := 0
			crashed, err := memfs.Catch(func() error {
				if err := writeSnapshot(fs, testMeta, content, rand.New(rand.NewPCG(seed, 3))); err != nil {
					return err
				}
				done++
				if err := transfer(fs, next, file, rand.New(rand.NewPCG(seed, 3))); err != nil {
					return err
				}
				done++
				return Remove(fs, testDir, testMeta.Index, testMeta.Term)
			})
			must(t, err)
			if !crashed {
				return
			}
			for range 4 {
				checkLeft(t, fs.CrashClone(rng, ""), content, k, done)
			}
			checkLeft(t, fs.ProcessCrash(), content, k, done)
		}
	})
}

func checkLeft(t *testing.T, fs *memfs.FS, content []byte, k, done int) {
	t.Helper()
	must(t, Sweep(fs, testDir))
	found, err := List(fs, testDir)
	must(t, err)
	names, err := fs.List(testDir)
	if err == nil && len(names) != len(found) {
		t.Fatalf("crash before operation %d: sweep left %v", k, names)
	}
	have := map[uint64]bool{}
	for _, m := range found {
		have[m.Index] = true
		r, err := Open(fs, testDir, m.Index, m.Term)
		must(t, err)
		got, err := io.ReadAll(r.Content())
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("crash before operation %d: snapshot %d: %v", k, m.Index, err)
		}
	}
	if done == 1 && !have[300] || done == 2 && !have[400] {
		t.Fatalf("crash before operation %d: finished snapshots are gone: %v", k, found)
	}
}

// TestErrors lets each operation fail in turn: no half snapshot may be listed.
func TestErrors(t *testing.T) {
	content := noise(rand.New(rand.NewPCG(1, 2)), 2*chunkBytes)
	broken := errors.New("broken")
	for k := 1; ; k++ {
		fs := memfs.New(1, "")
		left := k
		fs.SetHook(func(op memfs.Op) error {
			if left--; left == 0 {
				return broken
			}
			return nil
		})
		err := writeSnapshot(fs, testMeta, content, rand.New(rand.NewPCG(1, 3)))
		fs.SetHook(nil)
		if left > 0 {
			must(t, err)
			return
		}
		if !errors.Is(err, broken) {
			t.Fatalf("operation %d failed: %v", k, err)
		}
		found, err := List(fs, testDir)
		must(t, err)
		for _, m := range found { // only the directory's sync failed
			r, err := Open(fs, testDir, m.Index, m.Term)
			must(t, err)
			must(t, r.Verify())
		}
	}
}

func TestListAndRemove(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	fs := memfs.New(1, "")
	if found, err := List(fs, testDir); err != nil || len(found) > 0 {
		t.Fatalf("no directory: %v, %v", found, err)
	}
	must(t, Sweep(fs, testDir))
	for _, index := range []uint64{20, 3, 1 << 40} {
		must(t, writeSnapshot(fs, Meta{Index: index, Term: 2}, []byte("x"), rng))
	}
	w, err := Create(fs, testDir, Meta{Index: 5, Term: 2}, 0)
	must(t, err)
	found, err := List(fs, testDir)
	must(t, err)
	if len(found) != 3 || found[0].Index != 3 || found[2].Index != 1<<40 {
		t.Fatalf("%v", found)
	}
	must(t, w.Abort())
	must(t, w.Abort())
	if _, err := w.Write(make([]byte, 2*chunkBytes)); err == nil {
		t.Fatal("wrote to an aborted snapshot")
	}
	must(t, Remove(fs, testDir, 3, 2))
	if err := Remove(fs, testDir, 3, 2); !errors.Is(err, iofs.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := Open(fs, testDir, 3, 2); !errors.Is(err, iofs.ErrNotExist) {
		t.Fatal(err)
	}
}

// FuzzTrailer opens files of arbitrary bytes, as they are and with the footer's checksum made right.
func FuzzTrailer(f *testing.F) {
	b, err := trailer{meta: testMeta, content: 3, sum: 9}.encode()
	must(f, err)
	f.Add(append([]byte("abc"), b...))
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		open := func(b []byte) {
			fs := memfs.New(1, "")
			must(t, fs.MkdirAll(testDir))
			file, err := fs.Create(FileName(testDir, testMeta.Index, testMeta.Term), 0)
			must(t, err)
			_, err = file.WriteAt(b, 0)
			must(t, err)
			r, err := Open(fs, testDir, testMeta.Index, testMeta.Term)
			if err != nil {
				if !errors.Is(err, ErrDamaged) {
					t.Fatal(err)
				}
				return
			}
			if err := r.Verify(); err != nil && !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
		}
		open(b)
		if len(b) < footerSize {
			return
		}
		b = bytes.Clone(b)
		footer := b[len(b)-footerSize:]
		copy(footer, footerMagic)
		le.PutUint64(footer[8:], testMeta.Index)
		le.PutUint64(footer[16:], testMeta.Term)
		conf := int64(max(le.Uint32(footer[40:]), 1)) - 1
		start := max(0, int64(len(b))-footerSize-conf)
		le.PutUint64(footer[24:], uint64(start))
		le.PutUint32(footer[footerSize-4:], checksum(b[start:len(b)-4]))
		open(b)
	})
}

// FuzzReceive sends a file of arbitrary bytes in chunks of arbitrary size, as it is and with a trailer that fits the
// content. Finish accepts exactly the snapshots that Verify accepts, under the announced name, and else leaves nothing.
func FuzzReceive(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	fs := memfs.New(1, "")
	must(f, writeSnapshot(fs, testMeta, noise(rng, 300), rng))
	r, err := Open(fs, testDir, testMeta.Index, testMeta.Term)
	must(f, err)
	whole, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	must(f, err)
	must(f, r.Close())
	f.Add(whole, uint16(100), int64(0))
	f.Add(whole[:len(whole)-1], uint16(7), int64(-1))
	f.Add([]byte("content"), uint16(1), int64(1)<<62)
	f.Fuzz(func(t *testing.T, file []byte, piece uint16, stray int64) {
		receiveFile(t, file, piece, stray, false)
		end, err := trailer{meta: testMeta, content: int64(len(file)), sum: xxhash.Sum64(file)}.encode()
		must(t, err)
		receiveFile(t, append(bytes.Clone(file), end...), piece, stray, true)
	})
}

func receiveFile(t *testing.T, file []byte, piece uint16, stray int64, honest bool) {
	fs := memfs.New(1, "")
	rc, err := Receive(fs, testDir, testMeta, int64(len(file)))
	if err != nil {
		if len(file) >= footerSize {
			t.Fatal(err)
		}
		return
	}
	for off := 0; off < len(file); {
		n := min(int(piece)+1, len(file)-off)
		if stray != int64(off) {
			if err := rc.Chunk(stray, file[:n]); !errors.Is(err, ErrWrongOffset) {
				t.Fatalf("chunk at %d instead of %d: %v", stray, off, err)
			}
		}
		must(t, rc.Chunk(int64(off), file[off:off+n]))
		off += n
	}
	if err := rc.Finish(); err != nil {
		if honest || !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
		if names, err := fs.List(testDir); err != nil || len(names) > 0 {
			t.Fatalf("left behind: %v, %v", names, err)
		}
		return
	}
	r, err := Open(fs, testDir, testMeta.Index, testMeta.Term)
	must(t, err)
	must(t, r.Verify())
	if !sameMeta(r.Meta(), testMeta) || !bytes.Equal(wholeFile(t, r), file) {
		t.Fatalf("received %v", r.Meta())
	}
}
