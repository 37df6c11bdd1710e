package env

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func newFS(t testing.TB) (*osFS, string) {
	root := t.TempDir()
	return &osFS{root: root}, root
}

func TestCreateIsZeroFilledAndReserved(t *testing.T) {
	f, root := newFS(t)
	if err := os.WriteFile(filepath.Join(root, "seg"), []byte("old content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, 1, directChunk - 1, directChunk, 2*directChunk + 4097} {
		file, err := f.Create("seg", size)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := file.Size(); err != nil || got != size {
			t.Fatalf("size %d, %v; want %d", got, err, size)
		}
		content, err := io.ReadAll(io.NewSectionReader(file, 0, size+1))
		if err != nil || !bytes.Equal(content, make([]byte, size)) {
			t.Fatalf("a new file of %d bytes does not read as zeros (%d bytes, %v)", size, len(content), err)
		}
		if err := file.Sync(); err != nil {
			t.Fatal(err)
		}
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(root, "seg"), &st); err != nil {
			t.Fatal(err)
		}
		if st.Blocks*512 < size {
			t.Fatalf("%d bytes of %d are allocated: the file is sparse", st.Blocks*512, size)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFileKeepsWhatWasWritten(t *testing.T) {
	f, _ := newFS(t)
	if err := f.MkdirAll("wal/deep"); err != nil {
		t.Fatal(err)
	}
	file, err := f.Create("wal/deep/a", 8)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("frame"), 6); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Sync(), file.Close(), f.SyncDir("wal/deep")); err != nil {
		t.Fatal(err)
	}
	if err := f.Rename("wal/deep/a", "wal/b"); err != nil {
		t.Fatal(err)
	}
	if file, err = f.Open("wal/b"); err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got := make([]byte, 16)
	n, err := file.ReadAt(got, 0)
	if err != io.EOF || string(got[:n]) != "\x00\x00\x00\x00\x00\x00frame" {
		t.Fatalf("read %q, %v", got[:n], err)
	}
	if names, err := f.List("wal"); err != nil || !slices.Equal(names, []string{"b", "deep"}) {
		t.Fatalf("list: %q, %v", names, err)
	}
	if err := errors.Join(f.Remove("wal/deep"), f.Remove("wal/b")); err != nil {
		t.Fatal(err)
	}
	if free, err := f.Free("wal"); err != nil || free == 0 {
		t.Fatalf("free: %d, %v", free, err)
	}
}

func TestMissingNamesMatchErrNotExist(t *testing.T) {
	f, _ := newFS(t)
	_, openErr := f.Open("none")
	_, listErr := f.List("none")
	_, freeErr := f.Free("none")
	_, capacityErr := f.Capacity("none")
	for op, err := range map[string]error{
		"capacity": capacityErr,
		"open":     openErr, "list": listErr, "free": freeErr,
		"remove": f.Remove("none"), "rename": f.Rename("none", "other"), "syncdir": f.SyncDir("none"),
	} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of a missing name: %v", op, err)
		}
	}
}

func TestNamesCannotLeaveTheRoot(t *testing.T) {
	f, root := newFS(t)
	for _, name := range []string{"..", "../x", "a/../../x", "/etc/passwd", "/"} {
		_, openErr := f.Open(name)
		_, createErr := f.Create(name, 1)
		_, listErr := f.List(name)
		_, freeErr := f.Free(name)
		for op, err := range map[string]error{
			"open": openErr, "create": createErr, "list": listErr, "free": freeErr,
			"rename from": f.Rename(name, "x"), "rename to": f.Rename("x", name), "remove": f.Remove(name),
			"reserve": f.Reserve(name, 1),
			"mkdir":   f.MkdirAll(name), "syncdir": f.SyncDir(name),
		} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s %q: %v, want an invalid name", op, name, err)
			}
		}
		if p := f.MapPath(name); p != root && filepath.Dir(p) != root && filepath.Dir(filepath.Dir(p)) != root {
			t.Errorf("map path of %q is %s, outside %s", name, p, root)
		}
	}
	for _, name := range []string{"", ".", "a/.."} {
		if _, err := f.List(name); err != nil {
			t.Errorf("list %q, the root: %v", name, err)
		}
	}
	if got, want := f.MapPath("state/1/db"), filepath.Join(root, "state", "1", "db"); got != want {
		t.Errorf("map path %s, want %s", got, want)
	}
}

// A reserved file takes its space, is left alone by a second call, and is gone if there was not enough.
func TestReserve(t *testing.T) {
	f, root := newFS(t)
	volume, err := f.Capacity("")
	free, freeErr := f.Free("")
	if err != nil || freeErr != nil || volume < free || free == 0 {
		t.Fatalf("%d free bytes of %d: %v, %v", free, volume, err, freeErr)
	}
	const size = 3 << 20
	for range 2 {
		if err := f.Reserve("ballast", size); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(root, "ballast"))
		if err != nil || info.Size() != size || info.Sys().(*syscall.Stat_t).Blocks*512 < size {
			t.Fatalf("%v, %v", info, err)
		}
	}
	if err := f.Reserve("big", int64(volume)*2); err == nil {
		t.Error("reserved twice the volume")
	}
	if _, err := f.Open("big"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what could not be reserved: %v", err)
	}
}

func TestFullDiskMatchesErrNoSpace(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		err := noSpace(&fs.PathError{Op: "write", Path: "x", Err: errno})
		if !errors.Is(err, ErrNoSpace) || !errors.Is(err, errno) {
			t.Errorf("%v becomes %v", errno, err)
		}
	}
	if err := noSpace(syscall.EIO); errors.Is(err, ErrNoSpace) {
		t.Errorf("an I/O error became %v", err)
	}
	if noSpace(nil) != nil {
		t.Error("no error became one")
	}
}

func TestImpossiblePreallocationLeavesNoFile(t *testing.T) {
	f, _ := newFS(t)
	free, err := f.Free(".")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Create("big", int64(free)*2); err == nil {
		t.Fatalf("created a file twice as large as the %d free bytes", free)
	} else if !errors.Is(err, ErrNoSpace) {
		t.Skipf("this file system has another limit: %v", err)
	}
	if names, err := f.List("."); err != nil || len(names) != 0 {
		t.Fatalf("left behind: %q, %v", names, err)
	}
}

func TestDataDirectoryHasOneOwner(t *testing.T) {
	root := filepath.Join(t.TempDir(), "new", "node")
	first, err := NewOS(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewOS(root); !errors.Is(err, ErrInUse) {
		t.Fatalf("a second owner: %v", err)
	}
	if names, err := first.Env().FS.List("."); err != nil || len(names) != 0 {
		t.Fatalf("a new data directory holds %q, %v", names, err)
	}
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	second, err := NewOS(root)
	if err != nil {
		t.Fatalf("after the first owner closed: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

// benchDir is on the volume of the package, not on a temporary file system in memory.
func benchDir(b *testing.B) *osFS {
	dir, err := os.MkdirTemp(".", "bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return &osFS{root: dir}
}

func BenchmarkWriteSync(b *testing.B) {
	for _, size := range []int{512, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			f := benchDir(b)
			const segment = 64 << 20
			file, err := f.Create("seg", segment)
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			if err := file.Sync(); err != nil {
				b.Fatal(err)
			}
			p, off := make([]byte, size), int64(0)
			b.SetBytes(int64(size))
			for b.Loop() {
				if off+int64(size) > segment {
					off = 0
				}
				if _, err := file.WriteAt(p, off); err != nil {
					b.Fatal(err)
				}
				if err := file.Sync(); err != nil {
					b.Fatal(err)
				}
				off += int64(size)
			}
		})
	}
}

func BenchmarkCreateSegment(b *testing.B) {
	f := benchDir(b)
	b.SetBytes(64 << 20)
	for b.Loop() {
		file, err := f.Create("seg", 64<<20)
		if err != nil {
			b.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			b.Fatal(err)
		}
		file.Close()
	}
}

// What the disk fails to read is told apart from all other errors: a log treats it as damage.
func TestUnreadableIsTold(t *testing.T) {
	for err, want := range map[error]bool{
		&fs.PathError{Op: "read", Err: syscall.EIO}:    true,
		&fs.PathError{Op: "open", Err: syscall.ENOENT}: false,
		&fs.PathError{Op: "read", Err: syscall.EBADF}:  false,
		io.EOF: false,
	} {
		if got := unreadable(err); errors.Is(got, ErrUnreadable) != want || !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
	if unreadable(nil) != nil {
		t.Error("success became an error")
	}
}

func TestForgetLosesNothing(t *testing.T) {
	f, _ := newFS(t)
	file, err := f.Create("seg", 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	want := bytes.Repeat([]byte("not synced"), 5000)
	if _, err := file.WriteAt(want, 100); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	for _, sync := range []bool{false, true} {
		if sync {
			if err := file.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		file.Forget(0, 64<<10)
		if _, err := file.ReadAt(got, 100); err != nil || !bytes.Equal(got, want) {
			t.Errorf("synced %t: other content (%v)", sync, err)
		}
	}
}
