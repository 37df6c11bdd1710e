package wal

import (
	"bytes"
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

func benchEntries(count, size int) []*raftpb.Entry {
	es := make([]*raftpb.Entry, count)
	for i := range es {
		es[i] = &raftpb.Entry{Index: new(uint64), Term: new(uint64(1)), Type: new(raftpb.EntryNormal),
			Data: bytes.Repeat([]byte{byte(i)}, size)}
	}
	return es
}

func renumber(es []*raftpb.Entry, first uint64) {
	for i, e := range es {
		*e.Index = first + uint64(i)
	}
}

// TestAppendDoesNotAllocate holds for every record that fits into the segment.
func TestAppendDoesNotAllocate(t *testing.T) {
	l := benchLog(t, nullFS{memfs.New(1, "")}, 256<<20)
	es := benchEntries(100, 256)
	next := uint64(2)
	got := testing.AllocsPerRun(1000, func() {
		renumber(es, next)
		next += uint64(len(es))
		must(t, l.Append(Record{Entries: es, Commit: next - 200}, true))
	})
	if got > 0 {
		t.Fatalf("%v allocations per append of %d entries", got, len(es))
	}
}

// nullFS forgets what is written once the log is open, so that only the log's own work is measured.
type nullFS struct{ env.FS }

func (n nullFS) OpenDirect(name string) (env.File, error) {
	f, err := n.FS.OpenDirect(name)
	return nullFile{f}, err
}

type nullFile struct{ env.File }

func (f nullFile) WriteAt(p []byte, off int64) (int, error) {
	if off == 0 {
		return f.File.WriteAt(p, off)
	}
	return len(p), nil
}

func (f nullFile) Sync() error { return nil }

func benchLog(t testing.TB, f env.FS, segmentBytes int64) *Log {
	cfg := Config{SegmentBytes: minSegmentBytes, Seed: [16]byte{1}}
	must(t, Create(f, testDir, cfg, origin))
	cfg.SegmentBytes = segmentBytes
	l, _, err := Open(f, testDir, cfg, 0)
	must(t, err)
	return l
}

// BenchmarkAppendSync appends to a real directory (TMPDIR decides on which disk): batches of entries of 256 bytes, each
// batch durable before the next.
func BenchmarkAppendSync(b *testing.B) {
	for _, count := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("entries=%d", count), func(b *testing.B) {
			machine, err := env.NewOS(b.TempDir())
			must(b, err)
			defer machine.Close()
			l := benchLog(b, machine.Env().FS, 0)
			benchAppend(b, l, count)
		})
	}
}

// BenchmarkAppendEncode is the same without a disk.
func BenchmarkAppendEncode(b *testing.B) {
	for _, count := range []int{1, 100} {
		b.Run(fmt.Sprintf("entries=%d", count), func(b *testing.B) {
			benchAppend(b, benchLog(b, nullFS{memfs.New(1, "")}, 1<<40), count)
		})
	}
}

func benchAppend(b *testing.B, l *Log, count int) {
	es := benchEntries(count, 256)
	next := uint64(2)
	b.SetBytes(int64(count) * (256 + entryHeaderSize))
	b.ReportAllocs()
	for b.Loop() {
		renumber(es, next)
		next += uint64(count)
		if err := l.Append(Record{Entries: es, Commit: next}, true); err != nil {
			b.Fatal(err)
		}
		if l.WantsNext() {
			b.StopTimer()
			must(b, PrepareSegment(l.fs, testDir, 0))
			must(b, l.Compact(next-1))
			b.StartTimer()
		}
	}
	must(b, l.Close())
}

// BenchmarkOpen recovers a log of 64 MiB.
func BenchmarkOpen(b *testing.B) {
	machine, err := env.NewOS(b.TempDir())
	must(b, err)
	defer machine.Close()
	f := machine.Env().FS
	cfg := Config{SegmentBytes: 16 << 20, Seed: [16]byte{1}}
	l := benchLog(b, f, cfg.SegmentBytes)
	es := benchEntries(20, 256)
	next := uint64(2)
	for range 10_000 {
		renumber(es, next)
		next += uint64(len(es))
		must(b, l.Append(Record{Entries: es, Commit: next}, false))
		l.unsynced = false // the disk is not what is measured
	}
	must(b, l.Append(Record{}, true))
	must(b, l.Close())
	b.SetBytes(int64(next) * (256 + entryHeaderSize))
	for b.Loop() {
		l, got, err := Open(f, testDir, cfg, 0)
		must(b, err)
		if uint64(len(got.Entries)) != next-2 {
			b.Fatalf("%d entries", len(got.Entries))
		}
		must(b, l.Close())
	}
}

// TestLogThatRestsKeepsNoLargeBuffer: a burst of writes leaves no memory for the next one behind.
func TestLogThatRestsKeepsNoLargeBuffer(t *testing.T) {
	l := benchLog(t, nullFS{memfs.New(1, "")}, 1<<20)
	es := benchEntries(100, 2048)
	renumber(es, 2)
	must(t, l.Append(Record{Entries: es}, true))
	if cap(l.buf) <= maxSealedBuffer {
		t.Fatalf("%d bytes kept after a large record: this tests nothing", cap(l.buf))
	}
	must(t, l.Seal(3))
	if cap(l.buf) > maxSealedBuffer {
		t.Fatalf("%d bytes kept by a log that rests", cap(l.buf))
	}
}
