package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// scrubLimit is for a pass over the little that most nodes have, or for a state to be rebuilt.
const scrubLimit = 20 * time.Second

// scrubTrial damages files of all nodes, as far as they run, and lets each read all it has, twice: the first time they must
// find and mend everything, whoever damaged it and when, and the second time find nothing.
func (w *world) scrubTrial() {
	if w.opt.ScrubEvery == 0 || w.failure != "" {
		return
	}
	w.trace.event(w.queue.now, 0, "trial: scrub")
	for _, n := range w.nodes {
		n.rotFrame(true)
		if n.rng.IntN(2) == 0 {
			n.damage("hard state before a scrub", "hardstate", n.rng.Int64N(2)*4096, 44, n.flipBit)
		}
		if n.rng.IntN(2) == 0 {
			n.damage("identity before a scrub", "identity", 0, int(n.sizeOf("identity")), n.flipBit)
		}
	}
	if len(w.nodes) > 1 {
		w.nodes[w.rng.IntN(len(w.nodes))].rotValue()
	}
	w.scrubAll()
	w.within(scrubLimit, func() bool {
		return w.everyNode(func(n *node) bool { return n.raft.Status().Damage == "" && n.stat.Ready }) && w.settled()
	}, "all nodes have read all of their files, and did not mend them all")
	var before []raftnode.ScrubStats
	for _, n := range w.nodes {
		before = append(before, n.raft.Status().Scrub)
	}
	w.scrubAll()
	for i, n := range w.nodes {
		if w.failure == "" && found(before[i], n.raft.Status().Scrub) > 0 {
			w.violation("node %d: a scrub found damage, and the next one again: %+v, then %+v", i+1, before[i], n.raft.Status().Scrub)
		}
		n.isWhole()
	}
}

// scrubAll lets all nodes read all of their files.
func (w *world) scrubAll() {
	waiting := 0
	for _, n := range w.nodes {
		if w.failure == "" {
			waiting++
			n.guard(func() { n.raft.Scrub(func() { waiting-- }) })
		}
	}
	most := int64(0)
	for _, n := range w.nodes {
		most = max(most, n.sizeOf(n.stateFile()))
	}
	w.within(scrubLimit+time.Duration(2*most/scrubPerSecond)*time.Second, func() bool { return waiting == 0 }, "not all nodes have read all of their files")
}

// found counts what was found between two moments.
func found(before, after raftnode.ScrubStats) int {
	sum := func(s raftnode.ScrubStats) uint64 { return s.Identity + s.HardState + s.Log + s.Leftovers + s.State }
	return int(sum(after) - sum(before))
}

// isWhole looks at the files that a scrub mends, by itself.
func (n *node) isWhole() {
	if n.w.failure != "" {
		return
	}
	hard := n.fs.Peek("hardstate")
	if !intactPromise(hard, 0) || !intactPromise(hard, 4096) {
		n.w.violation("node %d: the hard state is still damaged after a scrub", n.index+1)
	}
	if id, err := wal.LoadIdentity(n.fs); err != nil || id.Incarnation != n.raft.Incarnation() {
		n.w.violation("node %d: the identity is still damaged after a scrub: %v", n.index+1, err)
	}
	if _, err := n.view.KV.HashKV(0); err != nil {
		n.w.violation("node %d: the state is still damaged after a scrub: %v", n.index+1, err)
	}
	n.rotten = "" // if the file is still the same, nothing uses what was damaged in it
	if n.healed(); n.hurt || n.rottenLog != nil {
		n.w.violation("node %d: still damaged after a scrub: %v, %+v", n.index+1, n.rottenLog, n.stat)
	}
}

// place is a byte of the log that was damaged, or made unreadable.
type place struct {
	name       string
	off        int64
	bad        byte
	unreadable bool
}

// gone tells whether the damage is not there any more: the segment is not, or the sector was written again.
func (p place) gone(n *node) bool {
	b := n.fs.Peek(p.name)
	return int64(len(b)) <= p.off || p.unreadable && n.fs.Readable(p.name, p.off, 1) || !p.unreadable && b[p.off] != p.bad
}

func (n *node) flipBit(p []byte) { p[n.rng.IntN(len(p))] ^= 1 << n.rng.IntN(8) }

// rotFrame damages a frame of the log of a node that runs, or makes it unreadable. If the process ends before it notices,
// the next one must know it for damage: then there has to be another frame behind it. last says that this need not be.
func (n *node) rotFrame(last bool) bool {
	incarnation := n.raft.Incarnation()
	names := n.segments()
	i := n.rng.IntN(len(names))
	name := "wal/" + names[i]
	content := n.fs.Peek(name)
	frames := framesOf(incarnation, names[i], content)
	if i+1 < len(names) {
		// What is behind the end that the next segment states was cut off, and nobody looks at it.
		end := binary.LittleEndian.Uint64(n.fs.Peek("wal/" + names[i+1])[24:])
		for len(frames) > 0 && binary.LittleEndian.Uint64(content[frames[len(frames)-1].at+8:]) > end {
			frames = frames[:len(frames)-1]
		}
	} else if !last && len(frames) > 0 {
		frames = frames[:len(frames)-1]
	}
	if len(frames) == 0 {
		return false
	}
	f := frames[n.rng.IntN(len(frames))]
	at := f.at + n.rng.Int64N(frameHeaderBytes+f.payload)
	unreadable := n.rng.IntN(4) == 0 && n.spoil(name, at)
	if !unreadable {
		n.damage("log while it runs", name, at, 1, n.flipBit)
	}
	n.rottenLog = append(n.rottenLog, place{name, at, n.fs.Peek(name)[at], unreadable})
	return true
}

// spoilFrom is the size of files in which a sector may become unreadable. Reads fail by the 4 KiB, and a log of which nothing
// can be read at all is refused.
const spoilFrom = 16 << 10

// spoil makes a sector unreadable.
func (n *node) spoil(name string, off int64) bool {
	if n.sizeOf(name) < spoilFrom {
		return false
	}
	n.w.count.Rotted++
	n.w.count.Unreadable++
	n.w.trace.event(n.w.queue.now, n.index+1, "unreadable: "+name, uint64(off))
	n.fs.Spoil(name, off, 1)
	return true
}

// rotValue flips a value in the state file of a node that runs.
func (n *node) rotValue() bool {
	db := n.stateFile()
	size := n.sizeOf(db)
	if size == 0 {
		return false
	}
	n.rotten, n.hurt = db, true
	n.damage("value while it runs", db, 0, int(size), func(p []byte) { flipValue(p, fmt.Sprintf("v%d", n.rng.IntN(n.w.load.next+1))) })
	return true
}
