package sim

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// A disk may report a write as done that it has lost, or performed at another place of the same file or in another one.
// Reads do not show it, since the system has in memory what was written; the next power cut does. The rules of rot.go hold
// here too: a node counts as damaged from the lie on, and what has no evidence behind it when the power is cut is taken
// back, as if the write had been performed after all. A lie about the very last write, followed by the end of the machine,
// leaves what no log can tell from a write that was cut off.

// lie is what a disk is about to do with one of its next writes to the log, or to the hard state.
type lie struct {
	hardState bool
	writes    int    // that are still performed
	astray    string // the file that is hit instead; "" if the write is lost
}

// powerCutWithin is the mean time from a lie to the power cut that brings it to light.
const powerCutWithin = 3 * time.Second

// planLies lets disks lie about writes of nodes that run.
func (w *world) planLies() {
	w.every(w.opt.LieEvery, func() {
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		if n.raft == nil || n.lying || n.lie != nil || n.mayBeRefused() {
			return
		}
		l := &lie{hardState: w.rng.IntN(8) == 0, writes: w.rng.IntN(8)}
		if l.hardState {
			l.writes = w.rng.IntN(2)
		}
		if segments := n.segments(); w.rng.IntN(2) == 0 && len(segments) > 0 {
			l.astray = "wal/" + segments[max(len(segments)-1-w.rng.IntN(3), 0)]
			if w.rng.IntN(8) == 0 {
				l.astray = "hardstate"
			}
		}
		n.lie = l
	})
}

// deceived decides what becomes of a write.
func (n *node) deceived(op memfs.Op) error {
	l := n.lie
	if op.Kind != memfs.OpWrite || !strings.HasPrefix(op.Name, "wal/") && op.Name != "hardstate" ||
		l.hardState != (op.Name == "hardstate") {
		return nil
	}
	if l.writes > 0 {
		l.writes--
		return nil
	}
	// One copy of the hard state, with the other one good, costs nothing.
	if l.hardState && !n.twoPromises() {
		return nil
	}
	if (!l.hardState || strings.HasPrefix(l.astray, "wal/")) && n.w.hurtWith(n) > (len(n.w.nodes)-1)/2 {
		return nil
	}
	var astray *memfs.Astray
	if l.astray != "" {
		at, fits := n.placeFor(op, l.astray)
		if !fits {
			return nil
		}
		astray = &memfs.Astray{Name: l.astray, By: at - op.Offset/sectorBytes*sectorBytes}
	}
	n.lie, n.lying = nil, true
	n.hurt = n.hurt || !l.hardState || strings.HasPrefix(l.astray, "wal/")
	life := n.life
	n.w.queue.after(exponential(n.rng, powerCutWithin), func() {
		if n.life == life && n.raft != nil && n.w.faulty {
			n.crash(true)
		}
	})
	if astray == nil {
		n.w.count.LostWrites++
		n.w.trace.event(n.w.queue.now, n.index+1, "write lost: "+string(op.Kind)+" "+op.Name, uint64(op.Offset), uint64(op.Len))
		return memfs.ErrLost
	}
	n.w.count.AstrayWrites++
	n.w.trace.event(n.w.queue.now, n.index+1, "write astray: "+op.Name+" into "+astray.Name, uint64(op.Offset),
		uint64(op.Len), uint64(astray.By))
	return astray
}

const sectorBytes = 512

// placeFor draws the sector of a file at which a write that went astray begins.
func (n *node) placeFor(op memfs.Op, name string) (at int64, fits bool) {
	if name == "hardstate" {
		return n.rng.Int64N(2) * 4096, n.twoPromises() && op.Len < 4096-sectorBytes
	}
	size := n.sizeOf(name) / sectorBytes
	return n.rng.Int64N(max(size, 1)) * sectorBytes, size > 0
}

// deceit is a sector of the log whose content a power cut has exposed: what was on the disk, and what was to be there.
type deceit struct {
	segment     string
	at          int64
	disk, truth []byte
}

// exposed is called on what a power cut has left of a disk that lied, with the disk as it was before.
func (n *node) exposed(before *memfs.FS) {
	n.lying = false
	segments := n.segments()
	var lies []deceit
	for _, s := range segments {
		name := "wal/" + s
		after, seen := n.fs.Peek(name), before.Peek(name)
		for _, at := range before.LostSectors(name) {
			if end := at + sectorBytes; end <= int64(min(len(after), len(seen))) && !bytes.Equal(after[at:end], seen[at:end]) {
				lies = append(lies, deceit{segment: s, at: at, disk: after[at:end], truth: seen[at:end]})
			}
		}
	}
	for _, d := range lies {
		n.fs.Rot("wal/"+d.segment, d.at, sectorBytes, func(p []byte) { copy(p, d.truth) })
	}
	n.rememberLog()
	for _, d := range lies {
		if !n.provable(d, lies, segments) {
			continue
		}
		n.w.count.LiesExposed++
		n.w.trace.event(n.w.queue.now, n.index+1, "exposed: wal/"+d.segment, uint64(d.at))
		n.fs.Rot("wal/"+d.segment, d.at, sectorBytes, func(p []byte) { copy(p, d.disk) })
	}
}

// provable tells of a sector, of a log in which all writes were performed, whether its loss can be noticed or does not
// matter: what differs is no frame's, or that of a frame which the segment was born with, or one that another was written
// behind. lies are the sectors that are no such evidence.
func (n *node) provable(d deceit, lies []deceit, segments []string) bool {
	content := n.fs.Peek("wal/" + d.segment)
	if d.segment != segments[len(segments)-1] {
		return true
	}
	frames := n.frames(d.segment, content)
	behind := slices.ContainsFunc(frames, func(f frame) bool {
		return f.at >= d.at+sectorBytes && !slices.ContainsFunc(lies, func(o deceit) bool {
			return o.segment == d.segment && o.at < f.at+frameHeaderBytes && f.at < o.at+sectorBytes
		})
	})
	lo, hi := d.differs()
	return behind || !slices.ContainsFunc(frames, func(f frame) bool {
		return f.at >= born(content) && f.at < hi && lo < f.end()
	})
}

// differs is where the first byte that differs lies, and the end of the last.
func (d deceit) differs() (lo, hi int64) {
	hi = int64(len(d.disk))
	for d.disk[lo] == d.truth[lo] {
		lo++
	}
	for d.disk[hi-1] == d.truth[hi-1] {
		hi--
	}
	return d.at + lo, d.at + hi
}

// rememberLog takes note of where the log that was synced ends, before it is damaged: a start that takes the damage for a
// write that was cut off, or for nothing, would end it earlier.
func (n *node) rememberLog() {
	id, err := wal.LoadIdentity(n.fs)
	if err != nil {
		return
	}
	in, err := wal.Inspect(n.fs.Durable(), "wal", wal.Config{SegmentBytes: n.w.segment(), Seed: id.Incarnation}, 0, nil)
	if err == nil && in.Corrupt == nil {
		n.logEnd = in.Base.Index + uint64(len(in.Entries))
	}
}

// logWhole holds what a start has made of a log against what that was before its disk damaged it.
func (n *node) logWhole() {
	if !n.stat.Restoring && n.stat.Last < n.logEnd {
		n.w.violation("node %d starts with a log that ends at %d; before its disk damaged it, it ended at %d", n.index+1,
			n.stat.Last, n.logEnd)
	}
	n.logEnd = 0
}

// rotStale puts a frame of long ago, or of another node, at the place of one that has evidence behind it, or where the next
// one would go. It tells whether anything is missing for it.
func (n *node) rotStale() bool {
	segments := n.segments()
	newest := segments[len(segments)-1]
	whose := n
	if n.rng.IntN(4) == 0 {
		whose = n.w.nodes[n.rng.IntN(len(n.w.nodes))]
	}
	stale := whose.anyFrame()
	content := n.fs.Peek("wal/" + newest)
	here := inARow(content)
	if stale == nil || len(here) == 0 {
		return false
	}
	i := n.rng.IntN(2 * len(here))
	at, hurt := here[len(here)-1].end(), false
	if i < len(here) && here[i].at+int64(len(stale)) <= n.evidence(newest, content) {
		at, hurt = here[i].at, true
	}
	if n.sizeOf("wal/"+newest) < at+int64(len(stale)) {
		return false
	}
	n.w.count.StaleFrames++
	n.damage("stale frame", "wal/"+newest, at, len(stale), func(p []byte) { copy(p, stale) })
	return hurt
}

// anyFrame is a copy of some frame of a node's log, nil if there is none.
func (n *node) anyFrame() []byte {
	segments := n.segments()
	if len(segments) == 0 {
		return nil
	}
	s := segments[n.rng.IntN(len(segments))]
	if n.rng.IntN(2) == 0 {
		s = segments[len(segments)-1]
	}
	content := n.fs.Peek("wal/" + s)
	all := inARow(content)
	if len(all) == 0 {
		return nil
	}
	f := all[n.rng.IntN(len(all))]
	return content[f.at:f.end()]
}

// frame is the place of a frame, as its header says.
type frame struct {
	at, payload  int64
	first, count uint64 // entries
}

func frameAt(segment []byte, at int64) frame {
	h, le := segment[at:], binary.LittleEndian
	return frame{at: at, payload: int64(le.Uint32(h[4:])), first: le.Uint64(h[16:]), count: uint64(le.Uint32(h[40:]))}
}

// inARow are the frames of a segment from its start on, one behind the other, whatever their checksums say.
func inARow(segment []byte) []frame {
	if len(segment) < sectorBytes {
		return nil
	}
	var all []frame
	conf := int64(binary.LittleEndian.Uint32(segment[84:])) // and one
	for at := (87 + conf + sectorBytes - 1) / sectorBytes * sectorBytes; at+frameHeaderBytes <= int64(len(segment)); {
		if string(segment[at:at+3]) != "QKV" {
			break
		}
		f := frameAt(segment, at)
		if f.end() > int64(len(segment)) {
			break
		}
		all, at = append(all, f), f.end()
	}
	return all
}

const frameHeaderBytes = 56

func (f frame) end() int64 { return f.at + (frameHeaderBytes+f.payload+7)&^7 }

// born is the end of what a segment was synced with before it got its name.
func born(segment []byte) int64 {
	if len(segment) < sectorBytes || string(segment[:6]) != "QKVWAL" {
		return 0
	}
	return int64(min(binary.LittleEndian.Uint64(segment[72:]), uint64(len(segment))))
}
