package wal

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
)

const entryHeaderSize = 24

// entriesSize is the length of entries in a payload.
func entriesSize(entries []*raftpb.Entry) int64 {
	n := int64(len(entries)) * entryHeaderSize
	for _, e := range entries {
		n += int64(len(e.Data))
	}
	return n
}

// appendEntries encodes entries behind b.
func appendEntries(b []byte, entries []*raftpb.Entry) []byte {
	for _, e := range entries {
		b = le.AppendUint64(b, e.GetIndex())
		b = le.AppendUint64(b, e.GetTerm())
		b = le.AppendUint32(b, uint32(e.GetType()))
		b = le.AppendUint32(b, uint32(len(e.Data)))
		b = append(b, e.Data...)
	}
	return b
}

var errShortPayload = errors.New("payload ends inside an entry")

// slot keeps what a decoded entry points to next to it: one allocation per frame, not four per entry.
type slot struct {
	entry       raftpb.Entry
	index, term uint64
	kind        raftpb.EntryType
}

// decodeEntries reads count entries that fill b. They must be numbered from first on, with terms from prevTerm upwards.
// The data of the entries is b's own memory.
func decodeEntries(b []byte, count uint32, first, prevTerm uint64) ([]*raftpb.Entry, error) {
	if int64(count)*entryHeaderSize > int64(len(b)) {
		return nil, errShortPayload
	}
	slots := make([]slot, count)
	entries := make([]*raftpb.Entry, count)
	for i := range slots {
		if len(b) < entryHeaderSize {
			return nil, errShortPayload
		}
		s := &slots[i]
		s.index, s.term = le.Uint64(b), le.Uint64(b[8:])
		s.kind = raftpb.EntryType(le.Uint32(b[16:]))
		n := le.Uint32(b[20:])
		b = b[entryHeaderSize:]
		if uint64(n) > uint64(len(b)) {
			return nil, errShortPayload
		}
		if s.index != first+uint64(i) {
			return nil, fmt.Errorf("entry %d of the frame has index %d, not %d", i, s.index, first+uint64(i))
		}
		if s.term < prevTerm {
			return nil, fmt.Errorf("entry %d has term %d after term %d", s.index, s.term, prevTerm)
		}
		prevTerm = s.term
		s.entry.Index, s.entry.Term, s.entry.Type = &s.index, &s.term, &s.kind
		if n > 0 {
			s.entry.Data = b[:n:n]
		}
		entries[i] = &s.entry
		b = b[n:]
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%d bytes follow the last entry", len(b))
	}
	return entries, nil
}
