package wal

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

// TestClassification goes through the rule of the package comment, case by case.
func TestClassification(t *testing.T) {
	for _, c := range []struct {
		name    string
		do      func(s *scripted)
		applied uint64
		// want is the log, or the range and a part of the reason of a CorruptError.
		want          string
		torn, ignored string
		first, last   uint64
		reason        string
	}{
		{
			name: "nothing wrong",
			do:   func(s *scripted) { s.put("a", 2, 3, 1); s.put("b", 4, 4, 2) },
			want: "base 1/1: 2/1 3/1 4/2",
		},
		{
			name: "payload damaged, frame follows",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.put("c", 7, 7, 1)
				s.flipPayload("b")
			},
			first: 4, last: 6, reason: "its payload has checksum",
		},
		{
			name: "header damaged, frame follows",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.put("c", 7, 7, 1)
				s.flipHeader("b")
			},
			first: 4, last: 6, reason: "the next intact one is frame 3",
		},
		{
			name: "header damaged, frame of another term follows: it may have overwritten anything uncommitted",
			do: func(s *scripted) {
				must(s.t, s.log.Append(Record{Entries: run(2, 3, 1), Commit: 2}, true))
				s.put("b", 4, 6, 2)
				s.put("c", 7, 7, 2)
				s.flipHeader("b")
			},
			first: 3, last: 6, reason: "was written only once this was synced",
		},
		{
			name: "two in a row damaged",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.put("c", 7, 7, 1)
				s.put("d", 8, 9, 1)
				s.flipPayload("b")
				s.flipPayload("c")
			},
			first: 4, last: 6, reason: "its payload has checksum",
		},
		{
			name: "last frame damaged, no proof",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.flipPayload("b")
			},
			want: "base 1/1: 2/1 3/1", torn: "entries 4 to 6",
		},
		{
			name: "last frame's header damaged, no proof",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.flipHeader("b")
			},
			want: "base 1/1: 2/1 3/1", torn: "frame 2 should be at offset",
		},
		{
			name: "last frame torn: what it would have overwritten stays",
			do: func(s *scripted) {
				s.put("a", 2, 5, 1)
				s.put("b", 4, 4, 2)
				s.flipPayload("b")
			},
			want: "base 1/1: 2/1 3/1 4/1 5/1", torn: "entries 4 to 4",
		},
		{
			name: "last frame damaged, sealed",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.seal("s")
				s.flipPayload("b")
			},
			first: 4, last: 6, reason: "seal 3 (after index 6, term 1)",
		},
		{
			name: "last frame damaged, and applied",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.flipPayload("b")
			},
			applied: 5, first: 4, last: 6, reason: "the state has applied index 5",
		},
		{
			name: "log ends before the applied index",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
			},
			applied: 4, first: 2, last: 0, reason: "the log ends at index 3",
		},
		{
			name: "seal torn, frame follows",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.seal("s")
				s.put("b", 4, 4, 1)
				s.flipHeader("s")
			},
			want: "base 1/1: 2/1 3/1 4/1", ignored: "frame 2 should be at offset",
		},
		{
			name: "seal torn at the end",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.seal("s")
				s.flipHeader("s")
			},
			want: "base 1/1: 2/1 3/1", torn: "frame 2 should be at offset",
		},
		{
			name: "an overwriting frame is lost: the index fits, the term does not",
			do: func(s *scripted) {
				s.put("a", 2, 5, 1)
				s.put("b", 4, 4, 2)
				s.put("c", 5, 5, 2)
				s.flipPayload("b")
			},
			first: 4, last: 4, reason: "its payload has checksum",
		},
		{
			name: "a superseded frame is lost",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.put("c", 4, 4, 2)
				s.flipPayload("b")
			},
			want: "base 1/1: 2/1 3/1 4/2", ignored: "entries 4 to 6",
		},
		{
			name: "a frame is lost, and what supersedes it is torn: neither is there",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.put("c", 4, 4, 2)
				s.flipPayload("b")
				s.flipPayload("c")
			},
			first: 4, last: 6, reason: "frame 3 (entries 4 to 4, after term 1)",
		},
		{
			name: "a torn seal in front of a torn frame",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.seal("s")
				s.put("b", 4, 4, 1)
				s.flipHeader("s")
				s.flipPayload("b")
			},
			want: "base 1/1: 2/1 3/1", torn: "entries 4 to 4", ignored: "frame 2 should be at",
		},
		{
			name: "what a reset discarded is lost",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				must(s.t, s.log.Append(Record{Reset: &Snapshot{Index: 20, Term: 3}, Entries: run(21, 21, 3)}, true))
				s.flipPayload("a")
				s.flipHeader("b")
			},
			want: "base 20/3: 21/3", ignored: "entries 2 to 3",
		},
		{
			name: "a tail that was cut off reappears",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.put("c", 7, 7, 1)
				s.flipHeader("c")
				s.reopen(0)
				s.flipHeader("c")
				s.flipHeader("b")
			},
			want: "base 1/1: 2/1 3/1 4/1 5/1 6/1", ignored: "frame 2 should be at offset 656 and is damaged",
		},
		{
			name: "a torn seal at the end of a segment, and a damaged copy in the next",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.seal("s")
				s.reopen(0)
				s.flipHeader("s")
				s.flip(segmentName(testDir, s.log.number), segmentHeaderUnit+frameHeaderSize+5)
			},
			want: "base 1/1: 2/1 3/1", ignored: "frame 2 should be at offset",
		},
		{
			name: "a boot's copy stands in for the original",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.reopen(0)
				s.flipPayload("b")
			},
			want: "base 1/1: 2/1 3/1 4/1 5/1 6/1", ignored: "entries 4 to 6",
		},
		{
			name: "the original stands in for a boot's copy",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.reopen(0)
				s.flip(segmentName(testDir, s.log.number), segmentHeaderUnit+frameHeaderSize+5)
			},
			want: "base 1/1: 2/1 3/1 4/1 5/1 6/1", ignored: "entries 4 to 6",
		},
		{
			name: "a boot's copy with a damaged header, and a frame behind it",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.reopen(0)
				s.put("b", 4, 4, 1)
				s.flip(segmentName(testDir, s.log.number), segmentHeaderUnit+9)
			},
			want: "base 1/1: 2/1 3/1 4/1", ignored: "frame 2 should be at offset 512",
		},
		{
			name: "a boot's copy and its original are lost",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.reopen(0)
				s.flipPayload("b")
				s.flip(segmentName(testDir, s.log.number), segmentHeaderUnit+frameHeaderSize+5)
			},
			first: 4, last: 6, reason: "the header of segment wal/0000000000000003.log",
		},
		{
			name: "an older frame is lost, a boot's copy follows",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				s.reopen(0)
				s.flipPayload("a")
			},
			first: 2, last: 3, reason: "its payload has checksum",
		},
		{
			name: "the newest segment's header is lost",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.reopen(0)
				s.put("b", 4, 4, 1)
				s.flip(segmentName(testDir, s.log.number), 60)
			},
			first: 2, last: 0, reason: "its header has checksum",
		},
		{
			name: "the oldest segment's header is lost",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.reopen(0)
				s.flip(s.at["a"].segment, 60)
			},
			first: 0, last: 3, reason: "its header has checksum",
		},
		{
			name: "a committed entry and the newest segment's header are lost",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 6, 1)
				must(s.t, s.log.Append(Record{Entries: run(7, 7, 1), Commit: 7}, true))
				s.reopen(0)
				s.put("c", 8, 8, 1)
				s.flipPayload("b")
				s.flip(segmentName(testDir, s.log.number), 60)
			},
			first: 4, last: 6, reason: "frame 3 (entries 7 to 7",
		},
		{
			name: "the last committed entry and the newest segment's header are lost",
			do: func(s *scripted) {
				must(s.t, s.log.Append(Record{Entries: run(2, 3, 1), Commit: 3}, true))
				s.put("b", 4, 6, 1)
				s.reopen(0)
				s.flipPayload("b")
				s.flip(segmentName(testDir, s.log.number), 60)
			},
			first: 4, last: 0, reason: "a segment is synced, header first",
		},
		{
			name: "a segment is missing",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.reopen(0)
				s.put("b", 4, 4, 1)
				s.reopen(0)
				must(s.t, s.fs.Remove(s.at["b"].segment))
			},
			first: 2, last: 4, reason: "the file is missing",
		},
		{
			name: "a segment is cut short",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 4, 1)
				s.reopen(0)
				s.put("c", 5, 5, 1)
				s.reopen(0)
				name := s.at["a"].segment
				b := readFile(s.fs, name)[:s.at["a"].start+20]
				f, err := s.fs.Create(name, 0)
				must(s.t, err)
				_, err = f.WriteAt(b, 0)
				must(s.t, err)
			},
			first: 2, last: 3, reason: "frame 1 should be at offset 512",
		},
		{
			name: "a segment holds another one's bytes",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.reopen(0)
				s.put("b", 4, 4, 1)
				s.reopen(0)
				b := readFile(s.fs, s.at["a"].segment)
				s.fs.Rot(s.at["b"].segment, 0, len(b), func(p []byte) { copy(p, b) })
			},
			first: 2, last: 4, reason: "its header has checksum",
		},
		{
			name: "a frame was written in another's place",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 4, 1)
				s.put("c", 5, 5, 1)
				s.put("d", 6, 6, 1)
				b, c := s.at["b"], s.at["c"]
				whole := readFile(s.fs, c.segment)
				s.fs.Rot(b.segment, b.start, int(b.end-b.start), func(p []byte) { copy(p, whole[c.start:c.end]) })
			},
			first: 4, last: 4, reason: "frame 2 should be at offset 656, the next intact one is frame 3 at offset 760",
		},
		{
			// The last frame, which nothing follows but a seal, is found in another's place first.
			name: "the last frame was written in another's place",
			do: func(s *scripted) {
				s.put("a", 2, 3, 1)
				s.put("b", 4, 4, 1)
				s.put("c", 5, 5, 1)
				b, c := s.at["b"], s.at["c"]
				whole := readFile(s.fs, c.segment)
				s.fs.Rot(b.segment, b.start, int(c.end-c.start), func(p []byte) { copy(p, whole[c.start:c.end]) })
			},
			first: 4, last: 4, reason: "the next intact one is frame 3 at offset 760",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScripted(t)
			c.do(s)
			_, got, err := Open(s.fs, testDir, s.cfg, c.applied)
			if c.want == "" {
				var bad *CorruptError
				if !errors.As(err, &bad) {
					t.Fatalf("got %s, %v; want a CorruptError", describe(got), err)
				}
				t.Log(bad)
				if bad.First != c.first || bad.Last != c.last || !strings.Contains(bad.Reason, c.reason) {
					t.Fatalf("want %d to %d because of %q", c.first, c.last, c.reason)
				}
				return
			}
			must(t, err)
			if d := describe(got); d != c.want {
				t.Errorf("log is %s, want %s", d, c.want)
			}
			if (c.torn == "") != (got.Torn == "") || !strings.Contains(got.Torn, c.torn) {
				t.Errorf("torn: %q, want %q", got.Torn, c.torn)
			}
			if (c.ignored == "") != (got.Ignored == "") || !strings.Contains(got.Ignored, c.ignored) {
				t.Errorf("ignored: %q, want %q", got.Ignored, c.ignored)
			}
		})
	}
}

// TestStolenFrame: a client stored a copy of the log in the log. When the frame around the copy is damaged, the search
// for the next frame passes over the copy and must not take it for one.
func TestStolenFrame(t *testing.T) {
	for shift := range frameAlign {
		s := newScripted(t)
		s.put("a", 2, 3, 1)
		a := s.at["a"]
		stolen := string(readFile(s.fs, a.segment)[a.start:a.end])
		e := entry(4, 1, strings.Repeat("x", shift)+stolen)
		start := s.log.off
		must(t, s.log.Append(Record{Entries: []*raftpb.Entry{e}}, true))
		s.flip(a.segment, start)
		got := s.reopen(0)
		if d := describe(got); d != "base 1/1: 2/1 3/1" || got.Torn == "" {
			t.Errorf("shift %d: log is %s, torn %q", shift, d, got.Torn)
		}
	}
}

func TestOtherSeedFindsNothing(t *testing.T) {
	s := newScripted(t)
	s.put("a", 2, 3, 1)
	other := s.cfg
	other.Seed[15]++
	var bad *CorruptError
	if _, _, err := Open(s.fs, testDir, other, 0); !errors.As(err, &bad) {
		t.Fatalf("opened with another incarnation: %v", err)
	}
}

func TestOpenWithoutLog(t *testing.T) {
	f := memfs.New(1, "")
	if _, _, err := Open(f, testDir, testConfig, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no directory: %v", err)
	}
	must(t, f.MkdirAll(testDir))
	if _, _, err := Open(f, testDir, testConfig, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("empty directory: %v", err)
	}
	must(t, Create(f, testDir, testConfig, origin))
	if err := Create(f, testDir, testConfig, origin); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("created twice: %v", err)
	}
	if err := Create(f, testDir, Config{SegmentBytes: 10}, origin); err == nil {
		t.Fatal("a segment of 10 bytes was accepted")
	}
}

// TestReadErrorIsNotCorruption: a disk that does not answer says nothing about what it holds.
func TestReadErrorIsNotCorruption(t *testing.T) {
	s := newScripted(t)
	s.put("a", 2, 3, 1)
	eio := errors.New("I/O error")
	for k := 1; ; k++ {
		left := k
		s.fs.SetHook(func(op memfs.Op) error {
			if op.Kind == memfs.OpRead || op.Kind == memfs.OpOpen || op.Kind == memfs.OpSize || op.Kind == memfs.OpList {
				if left--; left == 0 {
					return eio
				}
			}
			return nil
		})
		_, _, err := Open(s.fs, testDir, s.cfg, 0)
		s.fs.SetHook(nil)
		if left > 0 {
			return
		}
		if !errors.Is(err, eio) {
			t.Fatalf("read %d failed: %v", k, err)
		}
	}
}
