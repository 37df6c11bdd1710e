package raftnode

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/invariant"
)

// memoryLog is raft's view of what is durable: the entries that the wal lane reported written, held in memory from the
// compaction point on. Entries enter only after their fsync (raft reads them as soon as the append's response is
// stepped), so this is never ahead of the disk.
type memoryLog struct {
	hard raftpb.HardState
	conf *raftpb.ConfState

	// base is the entry before entries[0]: compacted away or covered by a snapshot.
	baseIndex, baseTerm uint64
	entries             []*raftpb.Entry
	bytes               uint64

	// snapshot answers raft's request for one; it is the node's (snapshot.go).
	snapshot func() (*raftpb.Snapshot, error)
}

var _ raft.Storage = (*memoryLog)(nil)

func (l *memoryLog) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return proto.CloneOf(&l.hard), proto.CloneOf(l.conf), nil
}

func (l *memoryLog) first() uint64 { return l.baseIndex + 1 }
func (l *memoryLog) last() uint64  { return l.baseIndex + uint64(len(l.entries)) }

func (l *memoryLog) FirstIndex() (uint64, error)         { return l.first(), nil }
func (l *memoryLog) LastIndex() (uint64, error)          { return l.last(), nil }
func (l *memoryLog) Snapshot() (*raftpb.Snapshot, error) { return l.snapshot() }

func (l *memoryLog) Term(i uint64) (uint64, error) {
	switch {
	case i < l.baseIndex:
		return 0, raft.ErrCompacted
	case i == l.baseIndex:
		return l.baseTerm, nil
	case i > l.last():
		return 0, raft.ErrUnavailable
	}
	return l.entries[i-l.first()].GetTerm(), nil
}

// termOf is Term for an index that the log has, or its base.
func (l *memoryLog) termOf(i uint64) uint64 {
	term, err := l.Term(i)
	invariant.Check(err == nil, "term of index %d of a log of (%d, %d]", i, l.baseIndex, l.last())
	return term
}

func (l *memoryLog) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	if lo < l.first() {
		return nil, raft.ErrCompacted
	}
	if hi > l.last()+1 {
		return nil, raft.ErrUnavailable
	}
	from, to := lo-l.first(), hi-l.first()
	end, size := from, uint64(0)
	for end < to {
		size += entrySize(l.entries[end])
		if size > maxSize && end > from {
			break
		}
		end++
	}
	return l.entries[from:end:end], nil // full slice expression: an append by the caller copies
}

// append publishes entries that are durable, replacing everything from the first one's index on.
func (l *memoryLog) append(entries []*raftpb.Entry) {
	if len(entries) == 0 {
		return
	}
	at := entries[0].GetIndex()
	invariant.Check(at > l.baseIndex && at <= l.last()+1, "append at index %d to a log of (%d, %d]", at, l.baseIndex, l.last())
	keep := at - l.first()
	for _, e := range l.entries[keep:] {
		l.bytes -= entrySize(e)
	}
	for _, e := range entries {
		l.bytes += entrySize(e)
	}
	if keep < uint64(len(l.entries)) {
		// Slices handed out by Entries share the array: never write into it.
		l.entries = append(l.entries[:keep:keep], entries...)
		return
	}
	l.entries = append(l.entries, entries...)
}

// compact drops the entries up to and including index.
func (l *memoryLog) compact(index uint64) {
	if index <= l.baseIndex {
		return
	}
	term := l.termOf(index)
	n := index - l.baseIndex
	for _, e := range l.entries[:n] {
		l.bytes -= entrySize(e)
	}
	l.entries = append([]*raftpb.Entry(nil), l.entries[n:]...) // copied, so that the dropped ones can be collected
	l.baseIndex, l.baseTerm = index, term
}

// reset restarts the log after a snapshot.
func (l *memoryLog) reset(index, term uint64, conf *raftpb.ConfState) {
	l.baseIndex, l.baseTerm, l.entries, l.bytes = index, term, nil, 0
	l.conf = conf
}

// setHard records what is durable of term and vote, and the commit index known so far.
func (l *memoryLog) setHard(term, vote, commit uint64) {
	l.hard.Term, l.hard.Vote, l.hard.Commit = &term, &vote, &commit
}

// entrySize is the memory that counts for bounds: the payload and a fixed allowance for the rest.
func entrySize(e *raftpb.Entry) uint64 { return uint64(len(e.GetData())) + 64 }
