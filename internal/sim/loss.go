package sim

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The end of a run in which disks damage what they hold goes beyond the atlas: the same entry is damaged on a quorum, or on
// every node, while no node's state has it yet. One copy that is intact must be enough for all to be repaired. Without any,
// what was acknowledged is gone, and all that is asked for is the truth: nobody serves or takes anything, and every node
// says which entry is missing and whom it has asked.

const (
	lossWrites = 8                // one after the other, among which an entry is chosen
	lossWatch  = 15 * time.Second // how long nodes that cannot be helped are looked at
)

func (w *world) lossTrial() {
	if w.opt.Rot == 0 || w.opt.Impostors > 0 || len(w.nodes) == 1 || w.failure != "" {
		return
	}
	w.within(fullLimit, func() bool { return w.leaderNode() != nil && w.settled() }, "no leader that all follow")
	if w.failure != "" {
		return
	}
	index := w.nodes[0].stat.Applied + 1 + uint64(w.rng.IntN(lossWrites/2))
	starts, files, states := make([]uint64, len(w.nodes)), make([]string, len(w.nodes)), make([][]byte, len(w.nodes))
	for i, n := range w.nodes {
		starts[i], files[i] = n.stat.First, n.stateFile()
		states[i] = n.fs.Peek(files[i])
	}
	lead := w.leaderNode()
	for range lossWrites {
		w.answered(lead, opUnique)
	}
	w.within(fullLimit, w.settled, "the nodes did not apply the same")
	if w.failure != "" {
		return
	}
	w.runUntil(w.queue.now+time.Second, func() bool { return false }) // logs get quiet, and say where they end
	possible := true
	for i, n := range w.nodes {
		possible = possible && n.raft != nil && n.stat.First == starts[i] && n.stateFile() == files[i] && !n.hurt
	}
	for i, n := range w.nodes {
		n.frozen = true
		if n.raft != nil {
			n.crash(false)
		}
		possible = possible && len(n.copiesOf(index)) > 0
		if possible { // no flush since: what is behind is in the log only
			n.fs.Rot(files[i], 0, len(states[i]), func(p []byte) { copy(p, states[i]) })
		}
	}
	// A log that was compacted meanwhile, or lacks a seal because its disk hung, is no case of this.
	lost := possible && w.rng.IntN(2) == 0
	var damaged []*node
	if possible {
		damaged = w.damageEntry(index, lost)
	}
	for _, n := range w.nodes {
		n.frozen = false
		n.start()
	}
	if lost {
		w.expectLoss(index)
		return
	}
	w.check.demandProgress()
	w.runUntil(w.queue.now+w.opt.Heal, w.check.converged)
	w.check.final()
	for _, n := range damaged {
		if n.stat.Repairs == 0 {
			w.violation("entry %d is damaged on node %d, which has it now and repaired nothing", index, n.index+1)
		}
	}
}

// damageEntry damages every copy of an entry on a quorum, or on all nodes, and returns those.
func (w *world) damageEntry(index uint64, all bool) (damaged []*node) {
	w.count.Losses++
	for at, i := range w.rng.Perm(len(w.nodes)) {
		if !all && at > len(w.nodes)/2 {
			break
		}
		n := w.nodes[i]
		damaged = append(damaged, n)
		for _, c := range n.copiesOf(index) {
			off := c.at + n.rng.Int64N(frameHeaderBytes+c.payload)
			n.damage("entry", c.file, off, 1, func(p []byte) { p[0] ^= 1 << n.rng.IntN(8) })
		}
	}
	return damaged
}

// expectLoss looks at nodes of which none has an entry.
func (w *world) expectLoss(index uint64) {
	w.runUntil(w.queue.now+lossWatch/2, func() bool { return false })
	var tried []*operation
	for _, n := range w.nodes {
		if n.raft == nil {
			w.violation("node %d is down", n.index+1)
			return
		}
		tried = append(tried, w.load.attempt(n, opUnique), w.load.attempt(n, opGet))
	}
	w.runUntil(w.queue.now+lossWatch, func() bool { return false })
	for _, op := range tried {
		if op.acked {
			w.violation("entry %d is damaged on every node, and a %s was answered", index, op.kind)
		}
	}
	for _, n := range w.nodes {
		if n.view != nil || !namesEntry(n.stat.Damage, index) {
			w.violation("entry %d is damaged on every node, and node %d serves (%t) or does not say so: %q", index, n.index+1,
				n.view != nil, n.stat.Damage)
		}
		if want := fmt.Sprintf("quorumctl recover n%d --plan", n.index+1); !strings.Contains(n.stat.Damage, want) {
			w.violation("node %d does not say how to go on without entry %d: %q", n.index+1, index, n.stat.Damage)
		}
		for _, o := range w.nodes {
			if o != n && !strings.Contains(n.stat.Damage, fmt.Sprintf("member %x:", o.id)) {
				w.violation("node %d does not say that it asked node %d: %q", n.index+1, o.index+1, n.stat.Damage)
			}
		}
	}
}

var (
	oneEntry   = regexp.MustCompile(`entry at index (\d+) is damaged`)
	manyIn     = regexp.MustCompile(`entries (\d+) to (\d+) are damaged`)
	manyBehind = regexp.MustCompile(`entries from index (\d+) on are damaged`)
)

// namesEntry tells whether what a node says about its damage has an entry in it.
func namesEntry(damage string, index uint64) bool {
	number := func(s string) uint64 { n, _ := strconv.ParseUint(s, 10, 64); return n }
	if m := oneEntry.FindStringSubmatch(damage); m != nil {
		return number(m[1]) == index
	}
	if m := manyIn.FindStringSubmatch(damage); m != nil {
		return number(m[1]) <= index && index <= number(m[2])
	}
	m := manyBehind.FindStringSubmatch(damage)
	return m != nil && number(m[1]) <= index
}

// entryCopy is a frame that holds an entry.
type entryCopy struct {
	file string
	frame
}

// copiesOf finds the frames with an entry; none if one of them is the last frame of all, whose damage nothing would prove.
func (n *node) copiesOf(index uint64) []entryCopy {
	var found []entryCopy
	segments := n.segments()
	for i, s := range segments {
		content := n.fs.Peek("wal/" + s)
		frames := n.frames(s, content)
		for j, f := range frames {
			if f.first > index || index >= f.first+f.count {
				continue
			}
			if i == len(segments)-1 && j == len(frames)-1 {
				return nil
			}
			found = append(found, entryCopy{"wal/" + s, f})
		}
	}
	return found
}
