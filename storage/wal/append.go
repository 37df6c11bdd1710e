package wal

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
)

// Record is what one Append writes: one frame, all or nothing after a crash.
type Record struct {
	// Entries replace everything from the index of the first one on.
	Entries []*raftpb.Entry
	// Commit is a hint for the next start, and never a reason to sync.
	Commit uint64
	// Reset empties the log and starts it anew after the snapshot, before Entries.
	Reset *Snapshot
}

// maxIdleBuffer is the largest buffer kept between appends, and maxSealedBuffer that of a log that rests.
const (
	maxIdleBuffer   = 4 << 20
	maxSealedBuffer = 64 << 10
)

// Append writes a record. With sync set it is durable on return, with everything written before it. Without, it may
// vanish in a crash, whole, with what follows; the next Append syncs it before it writes (W1).
//
// After an error nothing is known about the record, and the log refuses all further work. The exception is
// env.ErrNoSpace: nothing of the record was written, and the log is as it was.
func (l *Log) Append(r Record, sync bool) error {
	if err := l.usable(); err != nil {
		return err
	}
	h, err := l.frame(r)
	if err != nil {
		return l.fail(fmt.Errorf("append to log: %w", err))
	}
	if !h.content() {
		return l.appendHint(h, sync)
	}
	reset, err := encodeReset(r)
	if err != nil {
		return l.fail(fmt.Errorf("append to log: %w", err))
	}
	payload := int64(len(reset)) + entriesSize(r.Entries)
	if payload > maxPayload {
		return l.fail(fmt.Errorf("append to log: record of %d bytes, the most is %d", payload, maxPayload))
	}
	if err := l.settle(); err != nil {
		return err
	}
	// Behind every frame there is room for its seal.
	if l.off+frameSize(payload)+frameHeaderSize > l.size {
		return l.roll(h, r)
	}
	h.prevCRC = l.chain
	l.buf = encodeFrame(l.buf[:0], l.crc.at(l.off), &h, reset, r.Entries)
	if err := l.write(h, sync); err != nil {
		return err
	}
	l.off += h.size()
	l.advance(h, r)
	if cap(l.buf) > maxIdleBuffer {
		l.buf = nil
	}
	return nil
}

// frame makes the header for a record, and refuses records that would not continue the log.
func (l *Log) frame(r Record) (frameHeader, error) {
	h := frameHeader{
		kind:     kindSeal,
		seq:      l.seq + 1,
		first:    l.terms.last + 1,
		prevTerm: l.terms.lastTerm(),
		commit:   max(l.hint, r.Commit),
	}
	switch {
	case r.Reset != nil:
		h.kind, h.first, h.prevTerm = kindReset, r.Reset.Index+1, r.Reset.Term
	case len(r.Entries) > 0:
		h.kind, h.first = kindEntries, r.Entries[0].GetIndex()
		term, ok := l.terms.at(h.first - 1)
		if !ok {
			return h, fmt.Errorf("entry %d for a log that holds %d to %d", h.first, l.terms.base+1, l.terms.last)
		}
		h.prevTerm = term
	}
	term := h.prevTerm
	for i, e := range r.Entries {
		if want := h.first + uint64(i); e.GetIndex() != want {
			return h, fmt.Errorf("entry %d where %d belongs", e.GetIndex(), want)
		}
		if e.GetTerm() < term {
			return h, fmt.Errorf("entry %d with term %d after term %d", e.GetIndex(), e.GetTerm(), term)
		}
		term = e.GetTerm()
	}
	return h, nil
}

// encodeReset returns the part of a reset frame's payload that precedes the entries, nothing for other records.
func encodeReset(r Record) ([]byte, error) {
	if r.Reset == nil {
		return nil, nil
	}
	return encodeConf(r.Reset.ConfState)
}

// settle makes the last frame durable if it is not: the next one must not be written before (W1).
func (l *Log) settle() error {
	if !l.unsynced {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return l.fail(fmt.Errorf("sync log segment %d: %w", l.number, err))
	}
	l.unsynced = false
	return nil
}

// write puts the encoded frame on disk.
func (l *Log) write(h frameHeader, sync bool) error {
	if _, err := l.file.WriteAt(l.buf, l.off); err != nil {
		err = fmt.Errorf("write log segment %d at offset %d (%s): %w", l.number, l.off, h, err)
		if errors.Is(err, env.ErrNoSpace) {
			return err // file systems that copy on write need space for what is preallocated, too; nothing was written
		}
		return l.fail(err) // part of the frame may be there: a doubt that only recovery can resolve
	}
	if !sync {
		l.unsynced = l.unsynced || h.content()
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return l.fail(fmt.Errorf("sync log segment %d at offset %d (%s): %w", l.number, l.off, h, err))
	}
	return nil
}

// advance takes the frame just written into account.
func (l *Log) advance(h frameHeader, r Record) {
	l.seq, l.chain, l.hint = h.seq, h.crc, h.commit
	l.sealed = !h.content()
	if r.Reset != nil {
		l.snap = *r.Reset
		l.terms = newTerms(r.Reset.Index, r.Reset.Term)
		for i := range l.segments {
			l.segments[i].last = 0
		}
	}
	for _, e := range r.Entries {
		l.terms.push(e.GetIndex(), e.GetTerm())
	}
	if h.content() {
		current := &l.segments[len(l.segments)-1]
		current.last = max(current.last, l.terms.last)
	}
}

// roll starts the next segment with the record in it. The segment is synced before it gets its name, so the record is
// durable either way.
func (l *Log) roll(h frameHeader, r Record) error {
	next := segmentHeader{
		number:    l.number + 1,
		prev:      l.number,
		lastSeq:   l.seq,
		chain:     l.chain,
		lastIndex: l.terms.last,
		lastTerm:  l.terms.lastTerm(),
		snap:      l.snap,
	}
	first := &firstFrame{frameHeader: h, record: r}
	born, err := makeSegment(l.fs, l.dir, l.cfg, next, first)
	if errors.Is(err, env.ErrNoSpace) {
		return err
	}
	if err != nil {
		return l.fail(err)
	}
	old := l.file
	l.use(next.number, born)
	l.advance(first.frameHeader, r)
	if err := old.Close(); err != nil {
		return l.fail(fmt.Errorf("close log segment %d: %w", next.prev, err))
	}
	return nil
}

// use makes a new segment the current one.
func (l *Log) use(number uint64, born newborn) {
	l.file, l.number, l.size, l.crc = born.file, number, born.size, born.crc
	l.off, l.chain = born.off, born.chain
	l.wanted = false
	l.segments = append(l.segments, segmentInfo{number: number})
}
