package wal

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3/raftpb"
)

// The scripts in testdata tell what becomes of a log. They start with one that was created after index 1, term 1, and
// opened. Entries are written as FIRST-LAST, frames are named by their sequence number.
//
//	append entries=2-4 term=N [commit=N] [nosync]   one frame
//	seal [commit=N]                                 a frame that proves the one before it
//	reset index=N term=N [entries=5-6]              starts the log anew after a snapshot
//	compact index=N                                 removes segments
//	open [applied=N]                                what the next boot finds, and the log that it leaves
//	tear keep=N                                     the power fails in the last frame's write: its first bytes are there
//	flip frame=N part=header|payload [segment=N]    a bit rots; in the newest segment that has the frame, if none is named
//	flip segment=N part=header                      the same in a segment's header; in the newest's if none is named
//	remove segment=N                                a file is gone
//	log                                             every segment and frame, as the bytes on disk say
//
// Rewrite the expectations with: go test ./storage/wal -run TestScripts -rewrite
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &story{scripted: newScripted(t)}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.test, s.t, s.d = t, t, d
			s.out.Reset()
			if err := s.run(); err != nil {
				fmt.Fprintf(&s.out, "error: %v\n", err)
			}
			if s.out.Len() == 0 {
				return "ok\n"
			}
			return s.out.String()
		})
	})
}

type story struct {
	*scripted
	test *testing.T
	d    *datadriven.TestData
	out  strings.Builder
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *story) run() error {
	switch s.d.Cmd {
	case "append":
		return s.log.Append(Record{Entries: s.entries(), Commit: s.number("commit")}, !s.d.HasArg("nosync"))
	case "seal":
		return s.log.Seal(s.number("commit"))
	case "reset":
		r := &Snapshot{Index: s.number("index"), Term: s.number("term"), ConfState: origin.ConfState}
		return s.log.Append(Record{Reset: r, Entries: s.entries(), Commit: r.Index}, true)
	case "compact":
		return s.log.Compact(s.number("index"))
	case "open":
		return s.open()
	case "tear":
		f := s.find(s.log.seq)
		keep := int(s.number("keep"))
		s.fs.Rot(f.file, f.at+int64(keep), int(f.size())-keep, func(p []byte) { clear(p) })
	case "flip":
		s.flipBit()
	case "remove":
		return s.fs.Remove(segmentName(testDir, s.number("segment")))
	case "log":
		s.print()
	default:
		s.d.Fatalf(s.t, "unknown command %q", s.d.Cmd)
	}
	return nil
}

func (s *story) text(name string) (text string) {
	if s.d.HasArg(name) {
		s.d.ScanArgs(s.t, name, &text)
	}
	return text
}

func (s *story) number(name string) uint64 {
	text := s.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		s.d.Fatalf(s.t, "%s: %v", name, err)
	}
	return n
}

func (s *story) entries() []*raftpb.Entry {
	var first, last uint64
	if text := s.text("entries"); text != "" {
		if _, err := fmt.Sscanf(text, "%d-%d", &first, &last); err != nil {
			s.d.Fatalf(s.t, "entries=%s: %v", text, err)
		}
		return run(first, last, s.number("term"))
	}
	return nil
}

func (s *story) open() error {
	_ = s.log.Close() // of a log that failed, or was never opened again
	log, got, err := Open(s.fs, testDir, s.cfg, s.number("applied"))
	var bad *CorruptError
	if errors.As(err, &bad) {
		s.say("CORRUPT %s: entries %d to %d", bad.Segment, bad.First, bad.Last)
		s.say("  %s", bad.Reason)
		return nil
	}
	if err != nil {
		return err
	}
	s.log = log
	s.say("%s, commit %d", describeRuns(got), got.CommitHint)
	if got.Torn != "" {
		s.say("torn: %s", got.Torn)
	}
	if got.Ignored != "" {
		s.say("ignored: %s", got.Ignored)
	}
	s.print()
	return nil
}

// describeRuns is describe for long logs: "base 1/1: 2-80/1 81-90/2".
func describeRuns(r Recovered) string {
	var b strings.Builder
	fmt.Fprintf(&b, "base %d/%d:", r.Base.Index, r.Base.Term)
	for i := 0; i < len(r.Entries); {
		first := r.Entries[i]
		for i++; i < len(r.Entries) && r.Entries[i].GetTerm() == first.GetTerm(); i++ {
		}
		fmt.Fprintf(&b, " %d-%d/%d", first.GetIndex(), r.Entries[i-1].GetIndex(), first.GetTerm())
	}
	return b.String()
}

// placed is a frame as it lies on disk.
type placed struct {
	frameHeader
	file    string
	at      int64
	segment uint64
	damage  error // of its payload
}

// walk visits what can be read of every segment: its header, its frames, and the places where neither is.
func (s *story) walk(header func(string, segmentHeader, error), frame func(placed), gap func(from, to int64)) {
	for _, name := range s.files() {
		number, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		file := segmentName(testDir, number)
		b, crc := readFile(s.fs, file), newSegmentCRC(s.cfg.Seed, number)
		h, at, err := decodeSegmentHeader(b, crc)
		if err != nil {
			at = segmentHeaderUnit
		}
		header(file, h, err)
		end := writtenEnd(s.fs, file)
		for lost := at; at < end || lost < at; {
			f, ok := decodeFrameHeader(b[at:], crc.at(int64(at)))
			if !ok && at < end {
				at += frameAlign
				continue
			}
			if lost < at {
				gap(lost, at)
			}
			if !ok {
				break
			}
			_, _, err := decodePayload(b[at+frameHeaderSize:][:f.payload], crc.at(int64(at)), f)
			frame(placed{f, file, at, number, err})
			at += f.size()
			lost = at
		}
	}
}

func (s *story) print() {
	s.walk(func(file string, h segmentHeader, err error) {
		if err != nil {
			s.say("%s: %v", file, err)
			return
		}
		copied := ""
		if h.bootCopy {
			copied = ", starts with a copy"
		}
		s.say("%s: after frame %d, index %d, term %d%s", file, h.lastSeq, h.lastIndex, h.lastTerm, copied)
	}, func(f placed) {
		s.say("  %4d %s, commit %d", f.at, f.frameHeader, f.commit)
		if f.damage != nil {
			s.say("       DAMAGED: %v", f.damage)
		}
	}, func(from, to int64) {
		s.say("  %4d unreadable up to %d", from, to)
	})
}

// find returns the newest frame of that number, in the given segment if one is named.
func (s *story) find(seq uint64) (found placed) {
	s.walk(func(string, segmentHeader, error) {}, func(f placed) {
		if f.seq == seq && (!s.d.HasArg("segment") || s.number("segment") == f.segment) {
			found = f
		}
	}, func(int64, int64) {})
	if found.file == "" {
		s.d.Fatalf(s.t, "there is no frame %d", seq)
	}
	return found
}

func (s *story) flipBit() {
	if !s.d.HasArg("frame") {
		number := s.log.number
		if s.d.HasArg("segment") {
			number = s.number("segment")
		}
		s.flip(segmentName(testDir, number), 60)
		return
	}
	f := s.find(s.number("frame"))
	off := f.at + 9
	if s.text("part") == "payload" {
		off = f.at + frameHeaderSize + entryHeaderSize + 3
	}
	s.flip(f.file, off)
}
