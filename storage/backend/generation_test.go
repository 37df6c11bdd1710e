package backend

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"testing"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

// snapshot returns the copy of a state that holds these pairs.
func snapshot(t testing.TB, pairs ...string) []byte {
	t.Helper()
	d := mustCreate(t, newFS(t), put(Key, pairs...))
	defer mustClose(t, d)
	var out bytes.Buffer
	n, err := copyTo(d, &out)
	if err != nil || n != int64(out.Len()) || n != d.Size() {
		t.Fatalf("copied %d of %d bytes, %d written: %v", n, d.Size(), out.Len(), err)
	}
	return out.Bytes()
}

func generations(t testing.TB, fsys env.FS) []uint64 {
	t.Helper()
	numbers, err := listGenerations(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	return numbers
}

func TestStageAndSwitch(t *testing.T) {
	fsys := newFS(t)
	d := mustCreate(t, fsys, put(Key, "a", "old"))
	s, err := Stage(fsys, dir, options(), bytes.NewReader(snapshot(t, "a", "new")))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(put(Key, "b", "also old")); err != nil {
		t.Fatalf("the state in use: %v", err)
	}
	mustClose(t, d)
	if d, err = s.Switch(); err != nil {
		t.Fatal(err)
	}
	if got := content(t, d); got != "key/a=new\n" {
		t.Fatalf("after switch: %q", got)
	}
	if got := generations(t, fsys); !slices.Equal(got, []uint64{2}) {
		t.Fatalf("generations left: %v", got)
	}
	if err := d.Commit(put(Key, "b", "1")); err != nil {
		t.Fatal(err)
	}
	mustClose(t, d)
	d = mustOpen(t, fsys)
	defer d.Close()
	if got := content(t, d); got != "key/a=new\nkey/b=1\n" {
		t.Fatalf("reopened: %q", got)
	}
}

func TestDiscard(t *testing.T) {
	fsys := newFS(t)
	d := mustCreate(t, fsys, put(Key, "a", "old"))
	defer d.Close()
	s, err := Stage(fsys, dir, options(), bytes.NewReader(snapshot(t, "a", "new")))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	if got := generations(t, fsys); !slices.Equal(got, []uint64{1}) {
		t.Fatalf("generations left: %v", got)
	}
}

func TestStageOfBadContent(t *testing.T) {
	good := snapshot(t, "a", "1")
	rotten := slices.Clone(good)
	clear(rotten[:2*os.Getpagesize()])
	broken := errors.New("stream broke")
	for name, content := range map[string]io.Reader{
		"empty":    bytes.NewReader(nil),
		"no metas": bytes.NewReader(rotten),
		"stub":     bytes.NewReader(good[:100]),
		"broken":   io.MultiReader(bytes.NewReader(good[:9000]), failingReader{broken}),
	} {
		fsys := newFS(t)
		d := mustCreate(t, fsys, nil)
		_, err := Stage(fsys, dir, options(), content)
		if err == nil || name == "broken" && !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		if got := generations(t, fsys); !slices.Equal(got, []uint64{1}) {
			t.Errorf("%s: generations left: %v", name, got)
		}
		mustClose(t, d)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// crashes runs script on a fresh file system, once for each of its operations with a crash at that operation, and gives
// check several images of what a power cut may have left each time.
func crashes(t *testing.T, prepare, script func(fsys *memfs.FS), check func(fsys *memfs.FS, when string)) {
	t.Helper()
	for at := 1; ; at++ {
		fsys := newFS(t)
		prepare(fsys)
		fsys.SetHook(memfs.CrashAt(at))
		crashed, _ := memfs.Catch(func() error { script(fsys); return nil })
		for image := range uint64(4) {
			left := fsys.CrashClone(rand.New(rand.NewPCG(uint64(at), image)), ramDir(t))
			check(left, fmt.Sprintf("crash at operation %d, image %d", at, image))
		}
		if !crashed {
			if at < 5 {
				t.Fatalf("the script has only %d operations", at-1)
			}
			return
		}
	}
}

func TestCrashInCreate(t *testing.T) {
	crashes(t, func(*memfs.FS) {}, func(fsys *memfs.FS) {
		mustCreate(t, fsys, put(Key, "a", "1"))
	}, func(fsys *memfs.FS, when string) {
		ok, err := Exists(fsys, dir)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		var d *DB
		if ok {
			d, err = Open(fsys, dir, options())
		} else {
			d, err = Create(fsys, dir, options(), put(Key, "a", "1"))
		}
		if err != nil {
			t.Fatalf("%s: exists %t: %v", when, ok, err)
		}
		if got := content(t, d); got != "key/a=1\n" {
			t.Fatalf("%s: %q", when, got)
		}
		if got := generations(t, fsys); len(got) != 1 {
			t.Fatalf("%s: generations left: %v", when, got)
		}
		mustClose(t, d)
	})
}

func TestCrashInSwitch(t *testing.T) {
	fresh := snapshot(t, "a", "new")
	staged, switched := false, false
	seen := make(map[string]int)
	crashes(t, func(fsys *memfs.FS) {
		mustClose(t, mustCreate(t, fsys, put(Key, "a", "old")))
		staged, switched = false, false
	}, func(fsys *memfs.FS) {
		d := mustOpen(t, fsys)
		s, err := Stage(fsys, dir, options(), bytes.NewReader(fresh))
		if err != nil {
			t.Fatal(err)
		}
		staged = true
		mustClose(t, d)
		if d, err = s.Switch(); err != nil {
			t.Fatal(err)
		}
		switched = true
		mustClose(t, d)
	}, func(fsys *memfs.FS, when string) {
		d, err := Open(fsys, dir, options())
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		got := content(t, d)
		if got != "key/a=old\n" && got != "key/a=new\n" ||
			!staged && got != "key/a=old\n" || switched && got != "key/a=new\n" {
			t.Fatalf("%s: staged %t, switched %t, yet %q", when, staged, switched, got)
		}
		seen[got]++
		if left := generations(t, fsys); len(left) != 1 {
			t.Fatalf("%s: generations left: %v", when, left)
		}
		mustClose(t, d)
	})
	if len(seen) != 2 {
		t.Fatalf("outcomes: %v", seen)
	}
}

// TestKilledInSwitch: the kernel has the switch of a process that was killed, and the disk may not have it yet. The next start
// must not remove what a power cut brings back.
func TestKilledInSwitch(t *testing.T) {
	fresh := snapshot(t, "a", "new")
	for at, crashed := 1, true; crashed; at++ {
		fsys := newFS(t)
		mustClose(t, mustCreate(t, fsys, put(Key, "a", "old")))
		fsys.SetHook(memfs.CrashAt(at))
		crashed, _ = memfs.Catch(func() error {
			s, err := Stage(fsys, dir, options(), bytes.NewReader(fresh))
			if err != nil {
				t.Fatal(err)
			}
			d, err := s.Switch()
			if err != nil {
				t.Fatal(err)
			}
			mustClose(t, d)
			return nil
		})
		fsys = fsys.ProcessCrash()
		mustClose(t, mustOpen(t, fsys))
		for image := range uint64(32) {
			left := fsys.CrashClone(rand.New(rand.NewPCG(uint64(at), image)), ramDir(t))
			d, err := Open(left, dir, options())
			if err != nil {
				t.Fatalf("killed at operation %d, image %d: %v", at, image, err)
			}
			if got := content(t, d); got != "key/a=old\n" && got != "key/a=new\n" {
				t.Fatalf("killed at operation %d, image %d: %q", at, image, got)
			}
			mustClose(t, d)
		}
	}
}

// TestErrorsOfTheFileSystem lets each operation fail once. What comes back is an error, and never a state that is
// neither the old nor the new one.
func TestErrorsOfTheFileSystem(t *testing.T) {
	broken := errors.New("injected")
	fresh := snapshot(t, "a", "new")
	for at := 1; ; at++ {
		fsys := newFS(t)
		mustClose(t, mustCreate(t, fsys, put(Key, "a", "old")))
		n := 0
		fsys.SetHook(func(memfs.Op) error {
			if n++; n == at {
				return broken
			}
			return nil
		})
		err := func() error {
			d, err := Open(fsys, dir, options())
			if err != nil {
				return err
			}
			s, err := Stage(fsys, dir, options(), bytes.NewReader(fresh))
			if err != nil {
				mustClose(t, d)
				return err
			}
			mustClose(t, d)
			if d, err = s.Switch(); err != nil {
				return err
			}
			return d.Close()
		}()
		if err != nil && !errors.Is(err, broken) {
			t.Fatalf("operation %d: %v", at, err)
		}
		fsys.SetHook(nil)
		d, openErr := Open(fsys, dir, options())
		if openErr != nil {
			t.Fatalf("operation %d: reopen: %v", at, openErr)
		}
		got := content(t, d)
		if got != "key/a=new\n" && (err == nil || got != "key/a=old\n") {
			t.Fatalf("operation %d: error %v, state %q", at, err, got)
		}
		mustClose(t, d)
		if n < at {
			return
		}
	}
}

func TestOpeningMarker(t *testing.T) {
	fsys := newFS(t)
	mustClose(t, mustCreate(t, fsys, put(Key, "a", "1")))
	// die opens the state and stops at the removal of the marker: the last moment at which the attempt may still be dying.
	die := func() {
		t.Helper()
		fsys.SetHook(func(op memfs.Op) error {
			if op.Kind == "remove" && path.Dir(path.Dir(op.Name)) == dir {
				panic(memfs.Crash{Op: op})
			}
			return nil
		})
		crashed, err := memfs.Catch(func() error { _, err := Open(fsys, dir, options()); return err })
		if !crashed {
			t.Fatalf("the attempt did not die: %v", err)
		}
		fsys = fsys.CrashClone(rand.New(rand.NewPCG(1, 1)), ramDir(t))
	}
	die()
	mustClose(t, mustOpen(t, fsys)) // once is forgiven, and forgotten
	die()
	die()
	before, err := os.ReadFile(fsys.MapPath(dir + "/0000000000000001/db"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := Open(fsys, dir, options()); !errors.Is(err, ErrDamaged) {
			t.Fatalf("third attempt: %v", err)
		}
	}
	after, err := os.ReadFile(fsys.MapPath(dir + "/0000000000000001/db"))
	if err != nil || !bytes.Equal(before, after) {
		t.Fatalf("the third attempt touched the file (%v)", err)
	}
	// The rebuild is another generation and starts with a clean record.
	s, err := Stage(fsys, dir, options(), bytes.NewReader(snapshot(t, "a", "new")))
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Switch()
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, d)
	mustClose(t, mustOpen(t, fsys))

	// Who has nobody to fetch another state from tries again, and a success clears the record.
	die()
	die()
	o := options()
	o.Insist = true
	if d, err = Open(fsys, dir, o); err != nil {
		t.Fatalf("third attempt that insists: %v", err)
	}
	mustClose(t, d)
	mustClose(t, mustOpen(t, fsys))
}

func TestDamageFoundAtOpen(t *testing.T) {
	const db = dir + "/0000000000000001/db"
	overwrite := func(t *testing.T, fsys env.FS, name string, b []byte) {
		t.Helper()
		f, err := fsys.Create(name, int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	for name, damage := range map[string]func(t *testing.T, fsys *memfs.FS){
		"CURRENT empty": func(t *testing.T, fsys *memfs.FS) { overwrite(t, fsys, dir+"/CURRENT", nil) },
		"CURRENT one digit": func(t *testing.T, fsys *memfs.FS) {
			b := encodeCurrent(1)
			b[3] ^= 1
			overwrite(t, fsys, dir+"/CURRENT", b)
		},
		"CURRENT and more":     func(t *testing.T, fsys *memfs.FS) { overwrite(t, fsys, dir+"/CURRENT", append(encodeCurrent(1), '\n')) },
		"CURRENT of elsewhere": func(t *testing.T, fsys *memfs.FS) { overwrite(t, fsys, dir+"/CURRENT", encodeCurrent(7)) },
		"file gone":            func(t *testing.T, fsys *memfs.FS) { os.Remove(fsys.MapPath(db)) },
		"file empty":           func(t *testing.T, fsys *memfs.FS) { os.Truncate(fsys.MapPath(db), 0) },
		"file cut":             func(t *testing.T, fsys *memfs.FS) { os.Truncate(fsys.MapPath(db), 5000) },
		"metas zeroed": func(t *testing.T, fsys *memfs.FS) {
			f, err := os.OpenFile(fsys.MapPath(db), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.WriteAt(make([]byte, 2*os.Getpagesize()), 0)
			f.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := newFS(t)
			mustClose(t, mustCreate(t, fsys, put(Key, "a", "1")))
			damage(t, fsys)
			for range 3 { // the answer does not wear out
				if _, err := Open(fsys, dir, options()); !errors.Is(err, ErrDamaged) {
					t.Fatalf("got %v", err)
				}
			}
		})
	}
}

func TestOpenWithoutState(t *testing.T) {
	if _, err := Open(newFS(t), dir, options()); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func FuzzCurrent(f *testing.F) {
	f.Add(encodeCurrent(1))
	f.Add([]byte("000000000000000g 00000000\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if number, ok := decodeCurrent(b); ok && !bytes.Equal(encodeCurrent(number), b) {
			t.Fatalf("%q decodes to %d", b, number)
		}
	})
}

// TestStageSurvivesRottenPages is given copies of a file with one rotten page each, as a peer sends them that does not know
// yet. bbolt, left to itself, kills the process over many of them, and whoever sent it sends it again after the restart.
func TestStageSurvivesRottenPages(t *testing.T) {
	fsys := memfs.New(1, t.TempDir())
	o := Options{MapBytes: 1 << 20, NoSync: true}
	db, err := Create(fsys, "state", o, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		b := new(Batch)
		for j := range 40 {
			b.Put(Meta, fmt.Appendf(nil, "%05d-%05d", j, i), bytes.Repeat([]byte{byte(i)}, 100))
		}
		if err := db.Commit(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(fsys.MapPath("state/0000000000000001/db"))
	if err != nil {
		t.Fatal(err)
	}
	page, refused := os.Getpagesize(), 0
	for at := metaPages * page; at < len(sound); at += page {
		for what, rot := range map[string]func(p []byte){
			"zeroed": func(p []byte) { clear(p) },
			"id":     func(p []byte) { p[0] ^= 1 },
			"type":   func(p []byte) { p[8] ^= 0x20 },
		} {
			rotten := slices.Clone(sound)
			rot(rotten[at : at+page])
			s, err := Stage(fsys, "state", o, bytes.NewReader(rotten))
			switch {
			case err == nil: // nothing refers to the page, or not by what is rotten
				if err := s.Discard(); err != nil {
					t.Fatal(err)
				}
			case errors.Is(err, ErrDamaged):
				refused++
			default:
				t.Errorf("page %d, %s: %v", at/page, what, err)
			}
		}
	}
	if refused < 30 {
		t.Errorf("only %d refused", refused)
	}
	t.Logf("%d refused", refused)
}

// A name of the live generation that cannot be read is a damaged state: another one can be made.
func TestUnreadableCurrent(t *testing.T) {
	fsys := newFS(t)
	mustClose(t, mustCreate(t, fsys, nil))
	fsys.Spoil(dir+"/"+currentName, 0, 1)
	if ok, err := Exists(fsys, dir); !ok || err != nil {
		t.Errorf("exists: %t, %v", ok, err)
	}
	if _, err := Open(fsys, dir, options()); !errors.Is(err, ErrDamaged) {
		t.Errorf("opened: %v", err)
	}
	mustClose(t, mustCreate(t, fsys, nil))
	mustClose(t, mustOpen(t, fsys))
	fsys.SetHook(func(op memfs.Op) error {
		if op.Kind == memfs.OpOpen && op.Name == dir+"/"+currentName {
			return env.ErrUnreadable
		}
		return nil
	})
	if ok, err := Exists(fsys, dir); !ok || err != nil {
		t.Errorf("cannot be opened, exists: %t, %v", ok, err)
	}
	if _, err := Open(fsys, dir, options()); !errors.Is(err, ErrDamaged) {
		t.Errorf("cannot be opened: %v", err)
	}
}

// TestSecondAttemptLooksFirst: an attempt to open a file with a rotten page has died, as bbolt does of it in a goroutine of its
// own. The next one finds the page where it can say so, also when it insists.
func TestSecondAttemptLooksFirst(t *testing.T) {
	for _, marker := range []string{openingName, reopeningName} {
		fsys := newFS(t)
		mustClose(t, mustCreate(t, fsys, put(Key, "a", "1")))
		g := generation{fs: fsys, dir: dir, number: 1}
		file, err := os.ReadFile(g.osPath())
		if err != nil {
			t.Fatal(err)
		}
		clear(file[metaPages*os.Getpagesize():])
		if err := os.WriteFile(g.osPath(), file, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(fsys, g.file(marker), nil); err != nil {
			t.Fatal(err)
		}
		o := options()
		o.Insist = true
		if _, err := Open(fsys, dir, o); !errors.Is(err, ErrDamaged) || errors.Is(err, ErrSuspect) {
			t.Errorf("after %s: %v", marker, err)
		}
	}
}
