package wal

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
)

// replay is the log as far as recovery has read it, and the damage on which the frames to come have yet to pass
// judgement.
type replay struct {
	base    Snapshot // before the first entry
	terms   terms    // of base and all entries
	entries []*raftpb.Entry
	lean    bool     // entries are not wanted: terms say enough to judge by
	snap    Snapshot // where the log last started: its creation, or the last reset
	hint    uint64

	name  string // file of the current segment
	seq   uint64 // of the last frame with an intact header, or of the last one before the current segment
	chain uint32 // header checksum of that

	tail     tail
	damage   *damage // nil while everything is in order
	ignored  string  // the first damage that turned out to be harmless
	rotten   bool    // some of that was in a frame with entries
	segments []segmentInfo

	gaps *gaps // set to go on behind damage, see Salvage
	// scanned is called with the size of each segment that was read, if it is set.
	scanned func(bytes int64)
}

// tail describes the last frame with content, which the next boot writes again.
type tail struct {
	kind  frameKind // 0 while there was none
	first uint64
}

func newReplay() *replay { return &replay{terms: newTerms(0, 0)} }

// begin empties the log and lets it start after base.
func (r *replay) begin(base Snapshot) {
	r.base, r.terms, r.entries = base, newTerms(base.Index, base.Term), nil
}

func (r *replay) last() uint64 { return r.terms.last }

// term returns the term of an entry the log has, or of its base.
func (r *replay) term(index uint64) (uint64, bool) { return r.terms.at(index) }

func (r *replay) lastTerm() uint64 { return r.terms.lastTerm() }

// attaches says whether the log lacks nothing of what was in it when h was written (see the package comment).
func (r *replay) attaches(h frameHeader) bool {
	if h.kind == kindReset {
		return true
	}
	if r.belowBase(h.first - 1) {
		return true
	}
	term, ok := r.term(h.first - 1)
	return ok && term == h.prevTerm
}

// belowBase says that an entry is older than the oldest segment, which starts with a frame that overwrote the end of a
// segment compacted since. Only the entry's absence is known then; below the snapshot nothing is ever overwritten.
func (r *replay) belowBase(index uint64) bool {
	return index < r.base.Index && index >= r.snap.Index
}

// cut ends the log after index, which is at least snap.Index.
func (r *replay) cut(index, term uint64) {
	if index < r.base.Index {
		base := Snapshot{Index: index, Term: term}
		if index == r.snap.Index {
			base = r.snap
		}
		r.begin(base)
	}
	r.terms.truncate(index)
	if !r.lean {
		r.entries = r.entries[:index-r.base.Index]
	}
	if index < r.tail.first && r.tail.kind != kindReset {
		r.tail = tail{} // nothing of it is left
	}
}

// header takes a frame's intact header into account. Whatever lies damaged before it was synced before it was written.
func (r *replay) header(h frameHeader, offset int64) error {
	if r.gaps != nil {
		r.gaps.lost.follow(h)
	}
	if !r.attaches(h) {
		if r.damage == nil {
			r.hurt(damage{
				segment: r.name,
				offset:  offset,
				what: fmt.Sprintf("%s at offset %d follows a log that ends at index %d, term %d", h, offset, r.last(),
					r.lastTerm()),
				proof: "both have the right checksums",
				blind: true,
			})
		}
		r.prove(after(h, offset))
		if err := r.gap(r.missing(h.first-1, h.prevTerm), h.first-1, h.prevTerm); err != nil {
			return err
		}
	}
	r.seq, r.chain = h.seq, h.crc
	return nil
}

// content takes in the intact payload that belongs to the header just seen. The log is complete up to here, so damage
// before it lost nothing. A boot's copy is made because what it copies may not have been synced; every other frame says that
// what was before it was.
func (r *replay) content(h frameHeader, entries []*raftpb.Entry, conf *raftpb.ConfState, copied bool) {
	if r.damage != nil {
		r.forgive(!copied)
	}
	r.hint = max(r.hint, h.commit)
	if h.kind == kindReset {
		r.snap = Snapshot{Index: h.first - 1, Term: h.prevTerm, ConfState: conf}
		r.begin(r.snap)
		for i := range r.segments {
			r.segments[i].last = 0
		}
	} else {
		// Also for a seal: if it forgave damage, what it vouches for ends there.
		r.cut(h.first-1, h.prevTerm)
	}
	if !h.content() {
		return
	}
	for _, e := range entries {
		r.terms.push(e.GetIndex(), e.GetTerm())
	}
	if !r.lean {
		r.entries = append(r.entries, entries...)
	}
	r.tail = tail{kind: h.kind, first: h.first}
	current := &r.segments[len(r.segments)-1]
	current.last = max(current.last, r.last())
}

// spoiled records that the payload that belongs to the header just seen cannot be used. d is the damage.
//
// The frame would have made up for damage before it, had it not been damaged itself. Now that damage counts, and the
// header proves that it was synced. Only damage of which nothing is known is let go: it looks like a torn seal in front
// of a torn frame, which is what a crash may leave.
func (r *replay) spoiled(h frameHeader, offset int64, d damage) {
	if old := r.damage; old != nil {
		if old.first == 0 && old.proof == "" {
			r.forgive(false)
		} else {
			r.prove(after(h, offset))
		}
	}
	r.hurt(d)
}

// after is the proof that a frame's header gives for everything before it.
func after(h frameHeader, offset int64) string {
	return fmt.Sprintf("%s at offset %d was written only once this was synced", h, offset)
}

// hurt records damage. With an older one pending, both stand or fall together.
func (r *replay) hurt(d damage) {
	d.evident = d.proof != ""
	if d.blind && r.gaps != nil {
		r.gaps.lost.forget()
	}
	if r.damage == nil {
		r.damage = &d
	} else {
		r.damage.merge(d)
	}
}

// prove makes pending damage final unless something brings back what is missing. The first proof stays.
func (r *replay) prove(proof string) {
	if r.damage.proof == "" {
		r.damage.proof = proof
	}
}

// forgive drops damage that lost nothing. synced says that the disk once had what is damaged; the damage may say so itself.
func (r *replay) forgive(synced bool) {
	r.rotten = r.rotten || (synced || r.damage.evident) && r.damage.first > 0
	if r.ignored == "" {
		r.ignored = fmt.Sprintf("%s: %s", r.damage.segment, r.damage.what)
	}
	r.damage = nil
	if r.gaps != nil {
		r.gaps.unknown = false
	}
}

// missing is the verdict once a later frame shows that the log had (index, term), which it now lacks.
func (r *replay) missing(index, term uint64) error {
	d := r.damage
	first := d.first
	if first == 0 || d.blind {
		first = min(first-1, r.intact(term)) + 1
	}
	return d.corrupt(min(first, index), index)
}

// intact is the last index that damage of unknown extent cannot have changed. A frame written under the term that the
// log already ended with cannot have overwritten anything: that term has one leader, and its log only grows. Otherwise
// what was committed is safe, and no more is known.
func (r *replay) intact(term uint64) uint64 {
	if term == r.lastTerm() {
		return r.last()
	}
	return r.commit()
}

// commit is the highest index known to be committed. What came before the log was.
func (r *replay) commit() uint64 { return max(r.base.Index, min(r.hint, r.last())) }

// enter moves on to the next segment, whose header says where the log stood when it was made. start is where its frames
// begin.
func (r *replay) enter(h segmentHeader, start int64, name string) error {
	r.name = name
	r.segments = append(r.segments, segmentInfo{number: h.number})
	if r.gaps != nil {
		r.gaps.ends = false
		r.gaps.lost.cut(h.lastIndex) // what is behind was cut off by a boot
	}
	if len(r.segments) == 1 {
		if r.gaps != nil {
			r.gaps.unknown = false
		}
		r.snap = h.snap
		if h.lastIndex == h.snap.Index {
			r.begin(h.snap)
		} else {
			r.begin(Snapshot{Index: h.lastIndex, Term: h.lastTerm})
		}
		r.seq, r.chain = h.lastSeq, h.crc
		return nil
	}
	term, ok := r.term(h.lastIndex)
	ok = ok && term == h.lastTerm
	switch {
	case r.damage == nil && (r.chain != h.chain || !ok || r.last() != h.lastIndex):
		r.hurt(damage{
			segment: name,
			what: fmt.Sprintf("its header continues a log that ends at index %d, term %d, frame %d; the one before it ends "+
				"at index %d, term %d, frame %d", h.lastIndex, h.lastTerm, h.lastSeq, r.last(), r.lastTerm(), r.seq),
			proof: "both have the right checksums",
			blind: true,
		})
		if err := r.gap(r.missing(h.lastIndex, h.lastTerm), h.lastIndex, h.lastTerm); err != nil {
			return err
		}
	case r.damage != nil && ok:
		r.forgive(false) // a boot cut it off, and found it as it is: torn by a crash
		r.cut(h.lastIndex, h.lastTerm)
	case r.damage != nil:
		// Not final: a boot's copy of the last frame may follow and bring back what is missing.
		r.prove(fmt.Sprintf("the header of segment %s was written only once this was synced, and says that the log went on "+
			"to index %d, term %d", name, h.lastIndex, h.lastTerm))
		r.damage.last = max(r.damage.last, h.lastIndex)
		if r.gaps != nil {
			r.gaps.stated = Snapshot{Index: h.lastIndex, Term: h.lastTerm}
			r.gaps.ends = h.bootCopy || h.born == start
		}
	}
	r.seq, r.chain = h.lastSeq, h.crc
	return nil
}

// finish passes the last judgement: pending damage without proof is a torn write, and the log ends before it.
func (r *replay) finish(applied uint64) (torn string, err error) {
	if applied > r.last() {
		if r.damage == nil {
			r.hurt(damage{segment: r.name, what: fmt.Sprintf("the log ends at index %d", r.last()), blind: true})
		}
		r.prove(fmt.Sprintf("the state has applied index %d, which was synced before", applied))
	}
	d := r.damage
	switch {
	case d == nil:
		return "", nil
	case d.proof == "":
		return fmt.Sprintf("%s: %s", d.segment, d.what), nil
	}
	first, last := d.first, d.last
	if first == 0 || d.blind {
		first = min(first-1, r.commit()) + 1
	}
	if last > 0 {
		last = max(last, applied, first)
	}
	return "", d.corrupt(first, last)
}
