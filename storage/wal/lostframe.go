package wal

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
)

// LostFrame is a damaged frame of which the header is intact: it tells what its entries are to be checked against.
type LostFrame struct {
	First, Last uint64 // indexes of its entries, which the log had to its end

	size     int        // bytes of its payload
	checksum uint32     // of its payload
	crc      segmentCRC // starts checksums at its place
}

// Check compares entries First to Last, from wherever they come, with what the header says of them.
func (f LostFrame) Check(entries []*raftpb.Entry) error {
	payload := appendEntries(make([]byte, 0, entriesSize(entries)), entries)
	if sum := f.crc.sum(payload); len(payload) != f.size || sum != f.checksum {
		return fmt.Errorf("entries %d to %d are not those that the log lost: %d bytes with checksum %08x, the frame's header "+
			"says %d bytes with %08x", f.First, f.Last, len(payload), sum, f.size, f.checksum)
	}
	return nil
}

// lostFrames are those whose entries were in the log as far as it was read. There must be no doubt: what a boot cut off, or
// a later frame replaced, is not what others have, and would make a right answer look wrong.
type lostFrames struct {
	known []LostFrame
	last  *LostFrame // the frame just read, until the next one shows that it was in the log
}

// add takes note of a frame whose payload cannot be used. crc starts checksums at its place.
func (l *lostFrames) add(h frameHeader, crc segmentCRC) {
	if h.kind == kindEntries && h.count > 0 {
		l.last = &LostFrame{First: h.first, Last: h.last(), size: h.payload, checksum: h.payloadCRC, crc: crc}
	}
}

// follow looks at the header of the next frame. It was written only once the one just read was synced, for no boot came in
// between and nothing unreadable lies there.
func (l *lostFrames) follow(h frameHeader) {
	if l.last != nil {
		l.known = append(l.known, *l.last)
	}
	l.cut(h.first - 1)
	if h.kind == kindReset {
		l.forget()
	}
}

// cut drops those that had entries behind index: the log went on with others from there.
func (l *lostFrames) cut(index uint64) {
	l.last = nil
	l.known = slices.DeleteFunc(l.known, func(f LostFrame) bool { return f.Last > index })
}

// forget drops all, for what comes next may have replaced any of them.
func (l *lostFrames) forget() { l.known, l.last = nil, nil }
