package memfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/quorumkv/quorumkv/internal/env"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, fs env.FS, name string, size int64) env.File {
	t.Helper()
	f, err := fs.Create(name, size)
	must(t, err)
	return f
}

func write(t *testing.T, f env.File, off int64, p []byte) {
	t.Helper()
	n, err := f.WriteAt(p, off)
	must(t, err)
	if n != len(p) {
		t.Fatalf("wrote %d of %d bytes", n, len(p))
	}
}

func content(t *testing.T, fs env.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	must(t, err)
	must(t, f.Close())
	return b
}

func fill(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }

func TestReadsWhatWasWritten(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	fs := New(1, "")
	f := create(t, fs, "a", 20_000)
	want := make([]byte, 20_000)
	for i := range 500 {
		off := rng.IntN(len(want))
		p := fill(rng.IntN(min(9000, len(want)+2000-off)), byte(i))
		if rng.IntN(4) == 0 {
			clear(p)
		}
		write(t, f, int64(off), p)
		if off+len(p) > len(want) && len(p) > 0 {
			want = append(want, make([]byte, off+len(p)-len(want))...)
		}
		copy(want[off:], p)
		switch rng.IntN(10) {
		case 0:
			must(t, f.Sync())
		case 1:
			fs = fs.ProcessCrash()
			var err error
			f, err = fs.Open("a")
			must(t, err)
		}
		if !bytes.Equal(content(t, fs, "a"), want) {
			t.Fatalf("content differs after write %d", i)
		}
	}
}

func TestReadPastEnd(t *testing.T) {
	f := create(t, New(1, ""), "a", 10)
	if n, err := f.ReadAt(make([]byte, 20), 4); n != 6 || err != io.EOF {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := f.ReadAt(make([]byte, 1), 10); n != 0 || err != io.EOF {
		t.Fatalf("%d, %v", n, err)
	}
}

// TestSyncedSurvives checks, sector by sector, that an image holds for each sector the synced version or a later one.
func TestSyncedSurvives(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	fs := New(1, "")
	const sectors = 40
	f := create(t, fs, "a", sectors*sectorSize)
	must(t, f.Sync())
	must(t, fs.SyncDir(""))
	synced := make([]byte, sectors) // version of each sector
	history := make([][]byte, sectors)
	seen := map[string]bool{}
	version := byte(0)
	for range 2000 {
		first := rng.IntN(sectors)
		n := 1 + rng.IntN(min(6, sectors-first))
		version = version%250 + 1
		write(t, f, int64(first*sectorSize), fill(n*sectorSize, version))
		for i := range n {
			history[first+i] = append(history[first+i], version)
		}
		if rng.IntN(8) == 0 {
			must(t, f.Sync())
			for i, h := range history {
				if len(h) > 0 {
					synced[i] = h[len(h)-1]
				}
				history[i] = nil
			}
		}
		img := content(t, fs.CrashClone(rng, ""), "a")
		for i := range sectors {
			sector := img[i*sectorSize : (i+1)*sectorSize]
			if !bytes.Equal(sector, fill(sectorSize, sector[0])) {
				t.Fatalf("sector %d is torn", i)
			}
			at := slices.Index(history[i], sector[0])
			switch {
			case at < 0 && sector[0] != synced[i]:
				t.Fatalf("sector %d has version %d, which is neither the synced %d nor one of %d", i, sector[0], synced[i],
					history[i])
			case len(history[i]) == 0:
			case at < 0:
				seen["old"] = true
			case at == len(history[i])-1:
				seen["new"] = true
			default:
				seen["between"] = true
			}
		}
	}
	if !seen["old"] || !seen["new"] || !seen["between"] {
		t.Fatalf("images showed only %v", seen)
	}
}

func TestUnsyncedSizes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	fs := New(1, "")
	f := create(t, fs, "a", 1000)
	must(t, f.Sync())
	must(t, fs.SyncDir(""))
	write(t, f, 1000, fill(5000, 7))
	sizes := map[int]bool{}
	for range 200 {
		c := fs.CrashClone(rng, "")
		b := content(t, c, "a")
		sizes[len(b)] = true
		if len(b) < 1000 || len(b) > 6000 {
			t.Fatalf("size %d", len(b))
		}
		// Growth shows zeros, not what was once there.
		g, err := c.Open("a")
		must(t, err)
		write(t, g, 7000, []byte{1})
		if b2 := content(t, c, "a"); !bytes.Equal(b2[len(b):7000], make([]byte, 7000-len(b))) {
			t.Fatal("old bytes came back behind the end")
		}
	}
	if !sizes[1000] || !sizes[6000] || len(sizes) < 10 {
		t.Fatalf("sizes seen: %v", sizes)
	}
}

func TestNames(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	fs := New(1, "")
	must(t, fs.MkdirAll("d"))
	must(t, fs.SyncDir(""))
	write(t, create(t, fs, "d/keep", 0), 0, []byte("k"))
	old := create(t, fs, "d/current", 0)
	write(t, old, 0, []byte("old"))
	must(t, old.Sync())
	must(t, fs.SyncDir("d"))
	next := create(t, fs, "d/current.tmp", 0)
	write(t, next, 0, []byte("new"))
	must(t, next.Sync())
	must(t, fs.Rename("d/current.tmp", "d/current"))
	must(t, fs.Remove("d/keep"))

	seen := map[string]int{}
	for range 300 {
		c := fs.CrashClone(rng, "")
		names, err := c.List("d")
		must(t, err)
		seen[fmt.Sprint(names)]++
		if b := string(content(t, c, "d/current")); b != "old" && b != "new" {
			t.Fatalf("current holds %q", b)
		}
	}
	for _, want := range []string{"[current keep]", "[current]", "[current current.tmp keep]"} {
		if seen[want] == 0 {
			t.Errorf("never saw %s: %v", want, seen)
		}
	}
	must(t, fs.SyncDir("d"))
	for range 50 {
		c := fs.CrashClone(rng, "")
		names, err := c.List("d")
		must(t, err)
		if !slices.Equal(names, []string{"current"}) || string(content(t, c, "d/current")) != "new" {
			t.Fatalf("names %v after SyncDir", names)
		}
	}
}

func TestCloneIsIndependent(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	fs := New(1, "")
	f := create(t, fs, "a", 8192)
	write(t, f, 0, fill(8192, 1))
	must(t, f.Sync())
	must(t, fs.SyncDir(""))
	c := fs.CrashClone(rng, "")
	write(t, f, 100, fill(50, 2))
	g, err := c.Open("a")
	must(t, err)
	write(t, g, 5000, fill(50, 3))
	if b := content(t, c, "a"); b[100] != 1 || b[5000] != 3 {
		t.Fatal("clone changed with the original")
	}
	if b := content(t, fs, "a"); b[100] != 2 || b[5000] != 1 {
		t.Fatal("original changed with the clone")
	}
}

func TestProcessCrashKeepsWhatSyncLost(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	fs := New(1, "")
	f := create(t, fs, "a", 16*sectorSize)
	must(t, f.Sync())
	must(t, fs.SyncDir(""))
	write(t, f, 0, fill(16*sectorSize, 1))
	fail := errors.New("I/O error")
	fs.SetHook(func(op Op) error {
		if op.Kind == OpSync {
			return fail
		}
		return nil
	})
	if err := f.Sync(); !errors.Is(err, fail) {
		t.Fatal(err)
	}
	fs.SetHook(nil)
	must(t, f.Sync()) // succeeds, and brings nothing back
	fs = fs.ProcessCrash()
	if !bytes.Equal(content(t, fs, "a"), fill(16*sectorSize, 1)) {
		t.Fatal("the page cache lost something")
	}
	b := content(t, fs.CrashClone(rng, ""), "a")
	if n := bytes.Count(b, []byte{0}); n == 0 || n == len(b) {
		t.Fatalf("%d of %d bytes lost: the failed sync should lose some sectors and keep some", n, len(b))
	}
	g, err := fs.Open("a")
	must(t, err)
	write(t, g, 0, fill(16*sectorSize, 1)) // only writing again helps
	must(t, g.Sync())
	if !bytes.Equal(content(t, fs.CrashClone(rng, ""), "a"), fill(16*sectorSize, 1)) {
		t.Fatal("rewritten sectors did not become durable")
	}
}

func TestFaults(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	fs := New(1, "")
	f := create(t, fs, "a", 4096)
	must(t, f.Sync())
	must(t, fs.SyncDir(""))
	eio := errors.New("I/O error")
	var result error
	fs.SetHook(func(op Op) error { return result })

	result = eio
	if _, err := f.WriteAt(fill(10, 1), 0); !errors.Is(err, eio) || content(t, noHook(fs), "a")[0] != 0 {
		t.Fatalf("failed write: %v", err)
	}
	fs.SetHook(func(op Op) error { return &Short{N: 3, Err: eio} })
	if n, err := f.WriteAt(fill(10, 1), 0); n != 3 || !errors.Is(err, eio) {
		t.Fatalf("short write: %d, %v", n, err)
	}
	fs.SetHook(func(op Op) error {
		if op.Kind == OpWrite {
			return ErrLost
		}
		return nil
	})
	write(t, f, 1024, fill(10, 2))
	must(t, f.Sync())
	if content(t, noHook(fs), "a")[1024] != 2 {
		t.Fatal("lost write does not show while the machine lives")
	}
	b := content(t, fs.CrashClone(rng, ""), "a")
	if b[1024] != 0 || b[0] != 1 || b[3] != 0 {
		t.Fatalf("after the crash: %v, %v", b[:4], b[1024])
	}

	fs.SetHook(func(op Op) error {
		if op.Kind == OpWrite {
			return &Astray{Name: "a", By: 1024}
		}
		return nil
	})
	write(t, f, 512, fill(10, 3))
	must(t, f.Sync())
	if b := content(t, noHook(fs), "a"); b[512] != 3 || b[1536] != 0 || !slices.Equal(fs.LostSectors("a"), []int64{512, 1024, 1536}) {
		t.Fatalf("a write gone astray shows while the machine lives: %v, %v, lost are %v", b[512], b[1536], fs.LostSectors("a"))
	}
	if b := content(t, fs.CrashClone(rng, ""), "a"); b[512] != 0 || b[1536] != 3 || b[1546] != 0 {
		t.Fatalf("after the crash: %v, %v", b[512], b[1536:1548])
	}
	fs.SetHook(nil)
	write(t, f, 1536, fill(512, 4))
	if lost := fs.LostSectors("a"); !slices.Equal(lost, []int64{512, 1024, 1536}) {
		t.Fatalf("written again and not synced, lost are %v", lost)
	}
	must(t, f.Sync())
	if b := content(t, fs.CrashClone(rng, ""), "a"); b[1536] != 4 || !slices.Equal(fs.LostSectors("a"), []int64{512, 1024}) {
		t.Fatalf("where a write went astray and the place was written again: %v, lost are %v", b[1536], fs.LostSectors("a"))
	}

	fs.SetCapacity(5000)
	if _, err := fs.Create("b", 1000); !errors.Is(err, env.ErrNoSpace) {
		t.Fatalf("create on a full disk: %v", err)
	}
	if _, err := f.WriteAt(fill(1000, 1), 4096); !errors.Is(err, env.ErrNoSpace) {
		t.Fatalf("write on a full disk: %v", err)
	}
	if free, err := fs.Free(""); err != nil || free != 5000-4096 {
		t.Fatalf("free %d, %v", free, err)
	}
	_, inPlace := f.WriteAt(fill(1000, 1), 0)
	fs.SetCopyOnWrite()
	if _, err := f.WriteAt(fill(1000, 1), 0); inPlace != nil || !errors.Is(err, env.ErrNoSpace) {
		t.Fatalf("write in place on a full disk: %v, and where there is no such thing: %v", inPlace, err)
	}
}

func noHook(fs *FS) *FS {
	fs.SetHook(nil)
	return fs
}

func TestCrashKillsHandles(t *testing.T) {
	fs := New(1, "")
	f := create(t, fs, "a", 100)
	fs.SetHook(CrashAt(2))
	crashed, err := Catch(func() error {
		defer fs.Remove("a") // cleanup that must not happen
		if err := f.Sync(); err != nil {
			return err
		}
		_, err := f.WriteAt([]byte("x"), 0)
		return err
	})
	if !crashed || err != nil {
		t.Fatalf("%v, %v", crashed, err)
	}
	for name, err := range map[string]error{
		"sync":   f.Sync(),
		"close":  f.Close(),
		"remove": fs.Remove("a"),
		"sync directory": func() error {
			return fs.SyncDir("")
		}(),
	} {
		if !errors.Is(err, ErrCrashed) {
			t.Errorf("%s after the crash: %v", name, err)
		}
	}
	if b := content(t, fs.ProcessCrash(), "a"); !bytes.Equal(b, make([]byte, 100)) {
		t.Fatalf("left: %q", b)
	}
}

func TestErrors(t *testing.T) {
	fs := New(1, "")
	for name, err := range map[string]error{
		"open":             second(fs.Open("x")),
		"create in no dir": second(fs.Create("d/x", 0)),
		"rename":           fs.Rename("x", "y"),
		"remove":           fs.Remove("x"),
		"list":             second(fs.List("d")),
	} {
		if !errors.Is(err, iofs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, fs.MkdirAll("d/e"))
	if err := fs.Remove("d"); err == nil {
		t.Error("removed a directory that is not empty")
	}
	if _, err := fs.Open("../x"); !errors.Is(err, iofs.ErrInvalid) {
		t.Errorf("left the root: %v", err)
	}
	f := create(t, fs, "d/x", 0)
	must(t, f.Close())
	if err := f.Sync(); !errors.Is(err, iofs.ErrClosed) {
		t.Errorf("sync after close: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestMapped(t *testing.T) {
	fs := New(1, t.TempDir())
	must(t, fs.MkdirAll("state/1"))
	must(t, os.WriteFile(fs.MapPath("state/1/db"), []byte("bolt"), 0o600))
	create(t, fs, "state/1/opening", 0)
	names, err := fs.List("state/1")
	must(t, err)
	if !slices.Equal(names, []string{"db", "opening"}) {
		t.Fatalf("names %v", names)
	}
	c := fs.CrashClone(rand.New(rand.NewPCG(1, 1)), t.TempDir())
	must(t, os.WriteFile(fs.MapPath("state/1/db"), []byte("later"), 0o600))
	if b := content(t, c, "state/1/db"); string(b) != "bolt" {
		t.Fatalf("clone holds %q", b)
	}
	must(t, fs.Rename("state/1/db", "state/1/db2"))
	must(t, fs.Remove("state/1/db2"))
	must(t, fs.Remove("state/1/opening"))
	must(t, fs.Remove("state/1"))
	if names, err := fs.List("state"); err != nil || len(names) != 0 {
		t.Fatalf("left %v, %v", names, err)
	}
}

// TestDeterministic runs the same operations twice and expects the same images.
func TestDeterministic(t *testing.T) {
	run := func() string {
		rng := rand.New(rand.NewPCG(21, 22))
		fs := New(9, "")
		var out string
		for i := range 100 {
			name := fmt.Sprint("f", rng.IntN(8))
			f := create(t, fs, name, int64(rng.IntN(3000)))
			write(t, f, int64(rng.IntN(3000)), fill(rng.IntN(3000), byte(i)))
			if rng.IntN(3) == 0 {
				must(t, f.Sync())
			}
			c := fs.CrashClone(rng, "")
			names, err := c.List("")
			must(t, err)
			for _, n := range names {
				out += fmt.Sprintf("%s %x\n", n, content(t, c, n))
			}
		}
		return out
	}
	if first, second := run(), run(); first != second {
		t.Fatal("two equal runs differ")
	}
}

func TestPreallocationCostsNothing(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fs := New(1, "")
	for i := range 100 {
		f := create(t, fs, fmt.Sprint(i), 64<<20)
		zeros := make([]byte, 1<<16)
		write(t, f, 32<<20, zeros)
		must(t, f.Sync())
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Fatalf("6.4 GiB of zeros cost %d bytes", used)
	}
}

// Spoiled sectors cannot be read by anybody, in this life or another, until they are written again; their neighbours can.
func TestSpoil(t *testing.T) {
	m := New(1, "")
	f, err := m.Create("f", 8192)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("x"), 8192)
	if _, err := f.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), m.SyncDir("")); err != nil {
		t.Fatal(err)
	}
	m.Spoil("f", 1500, 600) // sectors 2 to 4
	lives := map[string]*FS{
		"after a power cut": m.CrashClone(rand.New(rand.NewPCG(1, 0)), ""), "as synced": m.Durable(),
		"after a crash": m.ProcessCrash(), // the last: it ends this life
	}
	for life, m := range lives {
		f, err := m.Open("f")
		if err != nil {
			t.Fatal(life, err)
		}
		readable := func(off int64, n int) bool {
			p := make([]byte, n)
			_, err := f.ReadAt(p, off)
			if err != nil && !errors.Is(err, env.ErrUnreadable) {
				t.Fatal(life, err)
			}
			if m.Readable("f", off, n) != (err == nil) {
				t.Errorf("%s: [%d,+%d) said to be readable: %t, read with %v", life, off, n, err != nil, err)
			}
			return err == nil && bytes.Equal(p, want[:n])
		}
		for off, ok := range map[int64]bool{0: true, 512: true, 1024: false, 1536: false, 2048: false, 2560: true} {
			if readable(off, 512) != ok {
				t.Errorf("%s: sector at %d readable: %t", life, off, !ok)
			}
		}
		if readable(0, 8192) {
			t.Errorf("%s: a range with bad sectors can be read", life)
		}
		if _, err := f.WriteAt(want[:512], 1536); err != nil {
			t.Fatal(life, err)
		}
		if !readable(1536, 512) || readable(1024, 1) || readable(2048, 1) {
			t.Errorf("%s: writing one sector did not bring back that one alone", life)
		}
	}
}
