package wal

import (
	"bytes"
	"errors"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

var fuzzCRC = newSegmentCRC([16]byte{9}, 7)

// seedFrames are one of each kind.
func seedFrames(t testing.TB) [][]byte {
	conf, err := encodeConf(&raftpb.ConfState{Voters: []uint64{1, 2}, Learners: []uint64{3}})
	must(t, err)
	none, err := encodeConf(nil)
	must(t, err)
	frame := func(kind frameKind, conf []byte, entries []*raftpb.Entry) []byte {
		h := frameHeader{kind: kind, seq: 5, first: 10, prevTerm: 2, commit: 9, prevCRC: 77}
		return encodeFrame(nil, fuzzCRC, &h, conf, entries)
	}
	return [][]byte{
		frame(kindEntries, nil, run(10, 12, 3)),
		frame(kindReset, conf, run(10, 10, 3)),
		frame(kindReset, none, nil),
		frame(kindSeal, nil, nil),
	}
}

// FuzzFrame decodes arbitrary bytes twice: as they are, and with the checksums made right, so that what lies behind
// them is reached. What decodes must encode to the same bytes.
func FuzzFrame(f *testing.F) {
	for _, b := range seedFrames(f) {
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		roundTripFrame(t, b)
		if len(b) < frameHeaderSize {
			return
		}
		b = bytes.Clone(b)
		le.PutUint32(b[4:], uint32(len(b)-frameHeaderSize))
		le.PutUint32(b[44:], fuzzCRC.sum(b[frameHeaderSize:]))
		le.PutUint32(b[52:], fuzzCRC.sum(b[:52]))
		roundTripFrame(t, b)
	})
}

func roundTripFrame(t *testing.T, b []byte) {
	h, ok := decodeFrameHeader(b, fuzzCRC)
	if !ok || int64(len(b)) < frameHeaderSize+int64(h.payload) {
		return
	}
	p := b[frameHeaderSize:][:h.payload]
	entries, conf, err := decodePayload(p, fuzzCRC, h)
	if err != nil {
		return
	}
	if uint32(len(entries)) != h.count {
		t.Fatalf("%d entries, header says %d", len(entries), h.count)
	}
	if h.kind == kindReset {
		return // a ConfState has more than one encoding
	}
	if conf != nil {
		t.Fatalf("%s has a ConfState", h.kind)
	}
	again := encodeFrame(nil, fuzzCRC, &h, nil, entries)
	if !bytes.Equal(again[:frameHeaderSize+h.payload], b[:frameHeaderSize+h.payload]) {
		t.Fatalf("%x encodes to %x", b, again)
	}
}

// FuzzSegment opens a log whose second segment holds arbitrary bytes behind an intact header.
func FuzzSegment(f *testing.F) {
	s := memfs.New(1, "")
	must(f, Create(s, testDir, testConfig, origin))
	l, _, err := Open(s, testDir, testConfig, 0)
	must(f, err)
	must(f, l.Append(Record{Entries: run(2, 4, 1), Commit: 2}, true))
	must(f, l.Seal(3))
	must(f, l.Append(Record{Entries: run(4, 5, 2)}, true))
	reset := Snapshot{Index: 9, Term: 3, ConfState: origin.ConfState}
	must(f, l.Append(Record{Reset: &reset, Entries: run(10, 10, 3)}, true))
	name := segmentName(testDir, l.number)
	whole := readFile(s, name)
	f.Add(whole[segmentHeaderUnit:l.off], uint64(0))
	f.Add(whole[segmentHeaderUnit:l.off-1], uint64(10))
	f.Add(whole[segmentHeaderUnit+8:l.off], uint64(5))
	f.Fuzz(func(t *testing.T, b []byte, applied uint64) {
		img := s.CrashClone(newRand(1), "")
		b = b[:min(len(b), len(whole)-segmentHeaderUnit)]
		img.Rot(name, segmentHeaderUnit, len(whole)-segmentHeaderUnit, func(p []byte) { clear(p); copy(p, b) })
		l, got, err := Open(img, testDir, testConfig, applied)
		if err != nil {
			var bad *CorruptError
			if !errors.As(err, &bad) {
				t.Fatal(err)
			}
			return
		}
		if got.Base.Index+uint64(len(got.Entries)) < applied {
			t.Fatalf("%s, although index %d was applied", describe(got), applied)
		}
		next := got.Base.Index + uint64(len(got.Entries)) + 1
		must(t, l.Append(Record{Entries: run(next, next, l.terms.lastTerm())}, true))
		_, again, err := Open(img, testDir, testConfig, applied)
		must(t, err)
		if len(again.Entries) != len(got.Entries)+1 {
			t.Fatalf("%s became %s", describe(got), describe(again))
		}
	})
}

func FuzzSegmentHeader(f *testing.F) {
	for _, c := range []*raftpb.ConfState{nil, origin.ConfState} {
		conf, err := encodeConf(c)
		must(f, err)
		h := segmentHeader{number: 3, prev: 2, lastSeq: 8, chain: 4, bootCopy: true, lastIndex: 9, lastTerm: 2,
			snap: origin, born: 600}
		f.Add(encodeSegmentHeader(nil, fuzzCRC, &h, conf))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, _ = decodeSegmentHeader(b, fuzzCRC)
		if len(b) < segmentFixedSize {
			return
		}
		n := int(le.Uint32(b[84:]))
		n = min(max(n-1, 0), len(b)-segmentFixedSize)
		b = bytes.Clone(b)
		le.PutUint32(b[80:], segmentHeaderCRC(fuzzCRC, b, b[84:segmentFixedSize+n]))
		h, size, err := decodeSegmentHeader(b, fuzzCRC)
		if err == nil && (h.born < size || h.prev >= h.number) {
			t.Fatalf("accepted %+v", h)
		}
	})
}

func FuzzHardState(f *testing.F) {
	b := make([]byte, hardCopySize)
	encodeHardState(b, 3, HardState{Term: 4, Vote: 5, BootEpoch: 6})
	f.Add(b[:hardUsed])
	f.Fuzz(func(t *testing.T, b []byte) {
		seq, hs, err := decodeHardState(b)
		if err != nil {
			return
		}
		again := make([]byte, hardCopySize)
		encodeHardState(again, seq, hs)
		if !bytes.Equal(again[:hardUsed], b[:hardUsed]) {
			t.Fatalf("%x encodes to %x", b, again)
		}
	})
}

func FuzzIdentity(f *testing.F) {
	f.Add(encodeIdentity(somebody))
	f.Add(encodeIdentity(Identity{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := decodeIdentity(b)
		if err == nil && !bytes.Equal(encodeIdentity(id), b) {
			t.Fatalf("%x encodes to %x", b, encodeIdentity(id))
		}
	})
}
