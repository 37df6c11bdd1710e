package wal

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
)

// segment is a named file that was found, with its header read.
type segment struct {
	number uint64
	name   string
	header segmentHeader
	// start is the offset of the first frame.
	start int64
	// added is set by the scan if the segment has content beyond a boot's copy.
	added bool
}

// bound is where a segment ends according to the next one's header. Frames behind it were cut off by the boot that made
// the next segment, and are not looked at.
type bound struct {
	lastSeq uint64
	ok      bool // false for the newest segment: it may end anywhere
}

func (b bound) reached(seq uint64) bool { return b.ok && seq >= b.lastSeq }

func (b bound) excludes(seq uint64) bool { return b.ok && seq > b.lastSeq }

// scanner reads the frames of one segment into the replay.
type scanner struct {
	r   *replay
	w   *window
	seg *segment
	crc segmentCRC
	end bound
	off int64 // where the next frame should be
}

// run reads all frames.
func (s *scanner) run() error {
	for {
		if more, err := s.frame(); err != nil || !more {
			return err
		}
	}
}

// frame reads the next frame, if there is one. A frame is only ever looked for behind the one before it: where it must be
// if that one's header is intact, or at the next place where an intact header lies.
func (s *scanner) frame() (more bool, err error) {
	if s.end.reached(s.r.seq) {
		return false, nil
	}
	h, ok, err := s.headerAt(s.off)
	if err != nil {
		return false, err
	}
	if !ok || h.seq != s.r.seq+1 || h.prevCRC != s.r.chain {
		g, err := s.search(s.off)
		if err != nil {
			return false, err
		}
		s.unreadable(s.off, g)
		if !g.found {
			s.off = s.w.size
			return false, nil
		}
		s.off, h = g.at, g.frameHeader
	}
	if err := s.r.header(h, s.off); err != nil {
		return false, err
	}
	if err := s.payload(h, s.off); err != nil {
		return false, err
	}
	s.off += h.size()
	return true, nil
}

// headerAt decodes the header at off, if there is one and its frame ends inside the file.
func (s *scanner) headerAt(off int64) (frameHeader, bool, error) {
	b, err := s.w.peek(off, frameHeaderSize)
	if err != nil {
		return frameHeader{}, false, fmt.Errorf("read %s at offset %d: %w", s.seg.name, off, err)
	}
	h, ok := decodeFrameHeader(b, s.crc.at(off))
	return h, ok && off+h.size() <= s.w.size, nil
}

// payload reads the payload of the frame at off, or records why it cannot be used.
func (s *scanner) payload(h frameHeader, off int64) error {
	p := make([]byte, h.payload) // the entries keep it
	if err := s.w.copy(p, off+frameHeaderSize); err != nil {
		return fmt.Errorf("read %s at offset %d: %w", s.seg.name, off+frameHeaderSize, err)
	}
	entries, conf, err := decodePayload(p, s.crc.at(off), h)
	if err == nil {
		s.take(h, entries, conf)
		return nil
	}
	d := damage{
		segment: s.seg.name,
		offset:  off,
		what:    fmt.Sprintf("%s at offset %d: %v", h, off, err),
		first:   h.first,
		last:    h.last(),
	}
	if h.kind == kindReset {
		d.first-- // the snapshot itself
	}
	if !s.spare(d, off) {
		d.proof = s.proof(off, off+h.size())
		s.r.spoiled(h, off, d)
		if s.r.gaps != nil {
			s.r.gaps.lost.add(h, s.crc.at(off))
		}
	}
	return nil
}

func (s *scanner) take(h frameHeader, entries []*raftpb.Entry, conf *raftpb.ConfState) {
	copied := s.copied(h.seq)
	if h.content() && !copied {
		s.seg.added = true
	}
	s.r.content(h, entries, conf, copied)
}

// copied says whether the frame of that number is a boot's copy.
func (s *scanner) copied(seq uint64) bool {
	return s.seg.header.bootCopy && seq == s.seg.header.lastSeq+1
}

// spare says whether damage at off is to a boot's copy whose original is intact, and notes it.
func (s *scanner) spare(d damage, off int64) bool {
	h := &s.seg.header
	if !h.bootCopy || off >= h.born || s.r.damage != nil || s.r.last() != h.lastIndex || s.r.lastTerm() != h.lastTerm {
		return false
	}
	s.r.hurt(d)
	s.r.forgive(true)
	return true
}

// proof is what the damage between two places proves by itself.
func (s *scanner) proof(from, to int64) string {
	switch {
	case from < s.seg.header.born:
		return fmt.Sprintf("the first %d bytes of the segment were synced before it got its name", s.seg.header.born)
	case s.w.unreadable(from, to):
		return "the disk cannot read some of it, and a crash leaves what can be read"
	}
	return ""
}

// unreadable records what lies between off, where a frame should be, and the next intact header or the end of the file.
func (s *scanner) unreadable(off int64, g gap) {
	what := fmt.Sprintf("frame %d should be at offset %d", s.r.seq+1, off)
	switch {
	case g.at == off && g.seq == s.r.seq+1:
		what = fmt.Sprintf("frame %d at offset %d follows another frame %d than the one before it", g.seq, off, s.r.seq)
	case g.at == off:
		what = fmt.Sprintf("%s, frame %d is there", what, g.seq)
	case g.found:
		what = fmt.Sprintf("%s, the next intact one is frame %d at offset %d", what, g.seq, g.at)
	case g.dirty:
		what += " and is damaged"
	case s.end.ok:
		what += ", nothing is there"
	case off < s.seg.header.born:
		what += ", nothing is there"
	default:
		return // zeros to the end of the newest segment: the end of the log
	}
	to := s.w.size
	if g.found {
		to = g.at
	}
	d := damage{segment: s.seg.name, offset: off, what: what, proof: s.proof(off, to), blind: true}
	d.ragged = !g.found && g.dirtyTo >= s.seg.header.born
	if !s.spare(d, off) {
		s.r.hurt(d)
	}
}

// gap is what search found.
type gap struct {
	found bool // the frame with this intact header starts at offset at
	frameHeader
	at int64
	// dirty is set if anything but zeros was passed, the last of it at dirtyTo.
	dirty   bool
	dirtyTo int64
}

// search looks from off on for the next intact header of a frame that may follow. Neither bytes that
// look like a frame inside another one's data, nor a frame that the disk has put in another place, can be mistaken for one:
// the checksum says where it belongs.
func (s *scanner) search(off int64) (gap, error) {
	var g gap
	for off < s.w.size {
		b, err := s.w.peek(off, s.w.bytes())
		if err != nil {
			return g, fmt.Errorf("read %s at offset %d: %w", s.seg.name, off, err)
		}
		atEnd := off+int64(len(b)) == s.w.size
		i := 0
		for ; i+frameAlign <= len(b); i += frameAlign {
			word := le.Uint64(b[i:])
			if word == 0 {
				continue
			}
			g.dirty, g.dirtyTo = true, off+int64(i)
			if !frameMagic(uint32(word)) {
				continue
			}
			if len(b)-i < frameHeaderSize && !atEnd {
				break // look again with the whole header in sight
			}
			at := off + int64(i)
			h, ok := decodeFrameHeader(b[i:], s.crc.at(at))
			if ok && h.seq > s.r.seq && !s.end.excludes(h.seq) && at+h.size() <= s.w.size {
				g.found, g.frameHeader, g.at = true, h, at
				return g, nil
			}
		}
		if i+frameAlign > len(b) && atEnd {
			break
		}
		off += int64(i)
	}
	return g, nil
}
