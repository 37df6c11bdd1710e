package env

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestDirectFile holds what a file has that is written past the page cache against the same writes in memory: any
// sizes, in ascending order, then anywhere. It is read both ways.
func TestDirectFile(t *testing.T) {
	const size = 8 << 20
	f, root := newFS(t)
	blank, err := f.Create("seg", size)
	if err != nil {
		t.Fatal(err)
	}
	if err := blank.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := f.OpenDirect("seg")
	if err != nil {
		t.Fatal(err)
	}
	d, ok := file.(*directFile)
	if !ok {
		t.Skipf("the file system of %s takes no direct writes", root)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	want := make([]byte, size)
	check := func() {
		t.Helper()
		if err := file.Sync(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(root, "seg"))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("up to %d: the file is not what was written to it (%v)", d.end, err)
		}
		through := make([]byte, 1000)
		if _, err := file.ReadAt(through, 77); err != nil || !bytes.Equal(through, want[77:1077]) {
			t.Fatalf("up to %d: the file reads otherwise than it was written (%v)", d.end, err)
		}
		blocks := alignedBuffer(3 * directBlock)
		for _, at := range []int64{0, d.end - d.end%directBlock, size - 2*directBlock} {
			n, err := file.ReadAt(blocks, at)
			if end := min(at+int64(len(blocks)), size); int64(n) != end-at || (err == io.EOF) != (n < len(blocks)) || !bytes.Equal(blocks[:n], want[at:end]) {
				t.Fatalf("up to %d: %d bytes are read at %d, not those that were written (%v)", d.end, n, at, err)
			}
		}
	}
	write := func(n int, off int64) {
		t.Helper()
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(rng.Uint32() | 1)
		}
		copy(want[off:], p)
		if k, err := file.WriteAt(p, off); k != n || err != nil {
			t.Fatalf("%d of %d bytes written at %d: %v", k, n, off, err)
		}
	}
	end := int64(0)
	for _, n := range []int{512, 0, 3584, 1, 4095, 4096, 8192, 100, directChunk, directChunk + 1, 2*directChunk + 3000} {
		write(n, end)
		end += int64(n)
		check()
	}
	for end < size-1<<20 {
		n := rng.IntN(1 << rng.IntN(20))
		write(n, end)
		end += int64(n)
	}
	check()
	write(2*directIdle, end)
	write(1, end+2*directIdle)
	if end += 2*directIdle + 1; len(d.buf) > directIdle {
		t.Fatalf("%d bytes are kept behind a small write", len(d.buf))
	}
	write(int(size-end), end) // to the very end
	check()
	if d.past == nil {
		t.Fatal("the file was not written directly")
	}
	write(5000, 4000)
	write(10, 1<<20)
	check()
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSmallFilesAreNotWrittenDirectly: a block at the end would make them longer.
func TestSmallFilesAreNotWrittenDirectly(t *testing.T) {
	f, _ := newFS(t)
	for _, size := range []int64{0, 4096, directLeast - directBlock, directLeast + 1} {
		file, err := f.Create("small", size)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		if file, err = f.OpenDirect("small"); err != nil {
			t.Fatal(err)
		}
		if _, direct := file.(*directFile); direct {
			t.Errorf("a file of %d bytes is written directly", size)
		}
		if _, err := file.WriteAt([]byte("at the end"), size); err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(io.NewSectionReader(file, size, 100)); err != nil || string(content) != "at the end" {
			t.Errorf("%q, %v", content, err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
