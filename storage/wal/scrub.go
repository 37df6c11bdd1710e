package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
)

// Extent is what a log consists of at a moment.
type Extent struct {
	// Oldest is the number of its first segment. Those before it are compacted.
	Oldest uint64

	numbers []uint64 // of all segments, oldest first
	seq     uint64   // of the last frame
	chain   uint32   // header checksum of that
}

// Extent returns what a Scrub is to find on disk.
func (l *Log) Extent() Extent {
	x := Extent{Oldest: l.segments[0].number, seq: l.seq, chain: l.chain}
	for _, s := range l.segments {
		x.numbers = append(x.numbers, s.number)
	}
	return x
}

// Scrub reads, a piece at a time, a log that is in use, and judges it as Open would. It runs beside the Log, on another
// lane, and knows more than Open does: how far this process has written. So it finds damage to the last frame, too.
type Scrub struct {
	fs     env.FS
	dir    string
	cfg    Config
	extent Extent

	links []link
	at    int // of the link that is being read
	r     *replay
	w     window
	s     *scanner // of the link that is being read; nil before its first frame
	// Reading is the number of the segment that is being read.
	Reading uint64
}

// NewScrub makes a Scrub of a log as it was at the moment of extent. cfg is as for Open.
func NewScrub(f env.FS, dir string, cfg Config, extent Extent) *Scrub {
	s := &Scrub{fs: f, dir: dir, cfg: cfg, extent: extent, r: newReplay(), w: window{scrub: true}, Reading: extent.Oldest}
	s.r.lean = true
	return s
}

// Next reads frames until that many bytes are read. done says that this was the end of the log. The error is a
// *CorruptError if something is damaged or missing that Open would miss; it may be that the segment was compacted
// meanwhile: then its number, Reading, is below what Extent calls the oldest.
func (s *Scrub) Next(bytes int64) (read int64, done bool, err error) {
	if s.links == nil {
		if read, err = s.headers(); err != nil {
			return read, false, err
		}
	}
	for read < bytes && s.at < len(s.links) {
		n, err := s.segment(bytes - read)
		read += n
		if err != nil {
			return read, false, err
		}
	}
	if s.at < len(s.links) {
		return read, false, nil
	}
	return read, true, s.end()
}

// Leftovers describes damage that nothing is missed for, "" if there is none: an Open would pass over it. A power cut may
// leave such, and so may a disk that lost what it had kept; rotten says that it was the latter, as far as that can be told.
func (s *Scrub) Leftovers() (what string, rotten bool) { return s.r.ignored, s.r.rotten }

// headers reads those of all segments: each says where the one before it ends.
func (s *Scrub) headers() (read int64, err error) {
	for _, n := range s.extent.numbers {
		s.Reading = n
		l, err := readLink(s.fs, s.dir, s.cfg, &s.w, n)
		if errors.Is(err, fs.ErrNotExist) {
			return read, &CorruptError{Segment: segmentName(s.dir, n), Reason: "the file is missing"}
		}
		if err != nil {
			return read, err
		}
		s.links = append(s.links, l)
		read += int64(len(s.w.buf))
	}
	s.Reading = s.extent.Oldest
	return read, nil
}

// segment reads on in the current segment, up to its end.
func (s *Scrub) segment(bytes int64) (read int64, err error) {
	l := &s.links[s.at]
	s.Reading = l.number
	file, err := s.fs.OpenDirect(l.name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, &CorruptError{Segment: l.name, Reason: "the file is missing"}
	}
	if err != nil {
		return 0, fmt.Errorf("open log segment: %w", err)
	}
	read, err = s.frames(l, file, bytes)
	return read, errors.Join(err, file.Close())
}

func (s *Scrub) frames(l *link, file env.File, bytes int64) (read int64, err error) {
	if err := s.w.open(file); err != nil {
		return 0, err
	}
	if s.s == nil {
		if l.broken != "" {
			return 0, s.r.brokenLink(s.links, s.at)
		}
		if err := s.r.enter(l.header, l.start, l.name); err != nil {
			return 0, err
		}
		end := bound{lastSeq: s.extent.seq, ok: true}
		if s.at+1 < len(s.links) {
			next := &s.links[s.at+1]
			end = bound{lastSeq: next.header.lastSeq, ok: next.broken == ""}
		}
		scan := newScanner(s.r, s.cfg, &l.segment, &s.w, end)
		s.s = &scan
	}
	start := s.s.off
	for s.s.off-start < bytes {
		more, err := s.s.frame()
		if err != nil {
			return s.s.off - start, err
		}
		if !more {
			read = s.s.off - start
			s.s, s.at = nil, s.at+1
			return read, nil
		}
	}
	return s.s.off - start, nil
}

// end judges once all is read that this process has written.
func (s *Scrub) end() error {
	r := s.r
	if r.damage == nil && (r.seq != s.extent.seq || r.chain != s.extent.chain) {
		r.hurt(damage{segment: r.name, what: fmt.Sprintf("the log ends with frame %d", r.seq), blind: true})
	}
	if r.damage == nil {
		return nil
	}
	r.prove(fmt.Sprintf("this process has written up to frame %d", s.extent.seq))
	_, err := r.finish(0)
	return err
}

// Renew puts the log's content once more on disk: in a new segment that starts after base and holds entries. It is
// durable on return, in one step: of a crash before nothing is left but the old log. All other segments are removed,
// whatever is wrong with them. base must be durable elsewhere, and base and entries must be what the log holds; it may have
// been compacted further than base.
//
// After env.ErrNoSpace the log is as it was. After any other error it refuses all further work.
func (l *Log) Renew(base Snapshot, entries []*raftpb.Entry) error {
	if err := l.usable(); err != nil {
		return err
	}
	last, lastTerm := base.Index, base.Term
	if n := len(entries); n > 0 {
		last, lastTerm = entries[n-1].GetIndex(), entries[n-1].GetTerm()
	}
	term, ok := l.terms.at(base.Index)
	ok = ok && term == base.Term || base.Index < l.terms.base
	if !ok || last != l.terms.last || lastTerm != l.terms.lastTerm() {
		return l.fail(fmt.Errorf("renew the log from index %d, term %d to %d, %d: it ends at %d, %d", base.Index, base.Term,
			last, lastTerm, l.terms.last, l.terms.lastTerm()))
	}
	h, first := rebirth(l.number+1, base, entries, l.hint)
	born, err := makeSegment(l.fs, l.dir, l.cfg, h, first)
	if errors.Is(err, env.ErrNoSpace) {
		return err
	}
	if err != nil {
		return l.fail(fmt.Errorf("renew the log: %w", err))
	}
	old, replaced := l.file, make([]uint64, 0, len(l.segments))
	for _, s := range l.segments {
		replaced = append(replaced, s.number)
	}
	l.segments = nil
	l.use(h.number, born)
	l.seq, l.snap, l.sealed, l.unsynced = 0, base, first == nil, false
	l.terms = newTerms(base.Index, base.Term)
	if first != nil {
		l.advance(first.frameHeader, first.record)
	}
	if err := errors.Join(old.Close(), sweep(l.fs, l.dir, nil, replaced)); err != nil {
		return l.fail(fmt.Errorf("renew the log: %w", err))
	}
	return nil
}
