package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
)

// Recovered is what a log held.
type Recovered struct {
	// Base is the point before the first entry. Its ConfState is set if the log was created or reset there, and nil if
	// it got there by compaction.
	Base    Snapshot
	Entries []*raftpb.Entry
	// CommitHint is the highest commit index found, within the log.
	CommitHint uint64
	// Torn describes the write that was cut off at the end, "" if there was none. It was never acknowledged.
	Torn string
	// Ignored describes damage that lost nothing, "" if there was none: what it held stands elsewhere in the log.
	Ignored string
}

// Term is the term of an entry, if the log has it or begins right behind it.
func (r *Recovered) Term(index uint64) (term uint64, ok bool) {
	switch base := r.Base.Index; {
	case index < base || index > base+uint64(len(r.Entries)):
		return 0, false
	case index == base:
		return r.Base.Term, true
	default:
		return r.Entries[index-base-1].GetTerm(), true
	}
}

// Reading is a log that was read and is to be opened.
type Reading struct {
	fs        env.FS
	dir       string
	cfg       Config
	directory directory
	links     []link
	replaced  []uint64
	replay    *replay
}

// Read does most of what Open does, and all that takes long. It needs no state, so both can be read at the same time, and it
// changes nothing. The error is Open's.
//
// Segments are read once, in order, through one buffer; only the entries stay in memory.
func Read(f env.FS, dir string, cfg Config) (*Reading, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	d, err := readDirectory(f, dir)
	if err != nil {
		return nil, err
	}
	if len(d.numbers) == 0 {
		return nil, fmt.Errorf("open log %s: %w", dir, errNoSegments)
	}
	w := new(window)
	links, replaced, err := d.chain(f, dir, cfg, w)
	if err != nil {
		return nil, err
	}
	r := newReplay()
	if err := r.segmentsOf(f, cfg, links, w); err != nil {
		return nil, err
	}
	return &Reading{fs: f, dir: dir, cfg: cfg, directory: d, links: links, replaced: replaced, replay: r}, nil
}

// Open readies the log for appending: it starts a new segment with the last frame in it, durable on return (W4). applied is the
// index up to which the state has applied entries, as evidence that the log must reach it (W2); 0 if there is no state. The
// error is a *CorruptError if synced entries are damaged or missing. A log that was not opened must be read again.
func (l *Reading) Open(applied uint64) (*Log, Recovered, error) {
	r := l.replay
	torn, err := r.finish(applied)
	if err != nil {
		return nil, Recovered{}, err
	}
	log, err := boot(l.fs, l.dir, l.cfg, r, &l.links[len(l.links)-1].segment, l.directory, l.replaced)
	if err != nil {
		return nil, Recovered{}, err
	}
	return log, Recovered{
		Base:       r.base,
		Entries:    r.entries,
		CommitHint: r.commit(),
		Torn:       torn,
		Ignored:    r.ignored,
	}, nil
}

// Open reads a log and opens it (see Reading). The error matches fs.ErrNotExist if there is no log.
func Open(f env.FS, dir string, cfg Config, applied uint64) (*Log, Recovered, error) {
	l, err := Read(f, dir, cfg)
	if err != nil {
		return nil, Recovered{}, err
	}
	return l.Open(applied)
}

// segmentsOf replays the chain.
func (r *replay) segmentsOf(f env.FS, cfg Config, links []link, w *window) error {
	for i := range links {
		l := &links[i]
		if l.broken != "" {
			if err := r.lostSegment(r.brokenLink(links, i), i); err != nil {
				return err
			}
			continue
		}
		if err := r.enter(l.header, l.start, l.name); err != nil {
			return err
		}
		var end bound
		if i+1 < len(links) {
			// A broken header tells nothing, but proves that there is more.
			end = bound{lastSeq: links[i+1].header.lastSeq, ok: links[i+1].broken == ""}
		}
		if err := r.scan(f, cfg, &l.segment, w, end); err != nil {
			return err
		}
	}
	return nil
}

func newScanner(r *replay, cfg Config, seg *segment, w *window, end bound) scanner {
	return scanner{r: r, w: w, seg: seg, crc: newSegmentCRC(cfg.Seed, seg.number), end: end, off: seg.start}
}

func (r *replay) scan(f env.FS, cfg Config, seg *segment, w *window, end bound) error {
	file, err := f.OpenDirect(seg.name)
	if err != nil {
		return fmt.Errorf("open log segment: %w", err)
	}
	s := newScanner(r, cfg, seg, w, end)
	if err = w.open(file); err == nil {
		err = s.run()
	}
	if r.scanned != nil {
		r.scanned(w.size)
	}
	return errors.Join(err, file.Close())
}

// brokenLink is the verdict on a segment that cannot be read at all.
func (r *replay) brokenLink(links []link, i int) error {
	l := &links[i]
	r.hurt(damage{segment: l.name, what: l.broken, blind: true})
	r.prove("a segment is synced, header first, before it gets its name")
	d := r.damage
	var last uint64
	if i+1 < len(links) && links[i+1].broken == "" {
		last = links[i+1].header.lastIndex
	}
	if i == 0 {
		return d.corrupt(0, last)
	}
	first := r.commit() + 1
	if d.first > 0 {
		first = min(first, d.first)
	}
	if last > 0 {
		first = min(first, last)
	}
	return d.corrupt(first, last)
}

// bootSegmentBytes is the size of a boot's segment when no file is prepared for it: a start does not wait until 64 MiB of
// zeros are on the disk. The next one is prepared at once.
const bootSegmentBytes = 4 << 20

// boot starts the segment of this life (W4). A last segment that added nothing of its own is replaced, so that a node
// which restarts again and again does not fill the disk: the new one takes its place behind the same predecessor, with
// the same copied frame.
func boot(f env.FS, dir string, cfg Config, r *replay, last *segment, d directory, replaced []uint64) (*Log, error) {
	h := segmentHeader{
		number:    d.numbers[len(d.numbers)-1] + 1,
		prev:      last.number,
		lastSeq:   r.seq,
		chain:     r.chain,
		lastIndex: r.last(),
		lastTerm:  r.lastTerm(),
		snap:      r.snap,
	}
	if !last.added {
		old := last.header
		h.prev, h.lastSeq, h.chain, h.lastIndex, h.lastTerm = old.prev, old.lastSeq, old.chain, old.lastIndex, old.lastTerm
		replaced = append(replaced, last.number)
		r.segments = r.segments[:len(r.segments)-1]
	}
	first := r.copyOfTail(h.lastSeq + 1)
	h.bootCopy = first != nil
	short := cfg
	short.SegmentBytes = min(cfg.SegmentBytes, bootSegmentBytes)
	born, err := makeSegment(f, dir, short, h, first)
	if err != nil {
		return nil, err
	}
	l := &Log{fs: f, dir: dir, cfg: cfg, segments: r.segments, snap: r.snap, hint: r.hint, seq: h.lastSeq}
	l.use(h.number, born)
	l.terms = r.terms
	l.sealed = first == nil
	if first != nil {
		l.seq = first.seq
		l.segments[len(l.segments)-1].last = r.last()
	}
	if err := sweep(f, dir, d.litter, replaced); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// copyOfTail returns the last frame with content, to be written again; nil if there was none.
func (r *replay) copyOfTail(seq uint64) *firstFrame {
	if r.tail.kind == 0 {
		return nil
	}
	prev := r.tail.first - 1
	prevTerm, _ := r.term(prev)
	c := &firstFrame{
		frameHeader: frameHeader{kind: r.tail.kind, seq: seq, first: r.tail.first, prevTerm: prevTerm, commit: r.hint},
		record:      Record{Entries: r.entries[prev-r.base.Index:]},
	}
	if c.kind == kindReset {
		c.record.Reset = &r.snap
	}
	return c
}

// sweep removes what is of no use once the new segment is durable.
func sweep(f env.FS, dir string, litter []string, replaced []uint64) error {
	names := litter
	for _, n := range replaced {
		names = append(names, segmentName(dir, n))
	}
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		// An unfinished segment may be gone already, the new one was made in its place; a damaged one, whatever has become of
		// it.
		if err := f.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what a log no longer needs: %w", err)
		}
	}
	if err := f.SyncDir(dir); err != nil {
		return fmt.Errorf("sync log directory: %w", err)
	}
	return nil
}
