package sim

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os" //determinism:ok the RAM disk for the files that bbolt maps
	"path/filepath"
	"time"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// A node may find another disk than its own when it starts: an empty one, an older copy of its own, or one whose hard state
// is gone. What it has promised is not on it, so it must be refused: it counts as lost until its own disk is back. A minority
// at most is lost like that, or damaged, at any time.
//
// What the product promises rests on what the others have on their disks: a disk is exchanged only once all of them have met
// a run of the node that the new disk knows nothing of. They may all start anew after that, and together with the node.

// disks are those of a node.
type disks struct {
	original *memfs.FS // put aside; nil while it is in the node
	out      bool      // the one in its place was refused: the node stays down
	copied   *memfs.FS // an older copy, nil if there is none
	epoch    uint64    // of the last run that the copy knows
	cloned   bool      // a second process runs on a copy of its disk
	clone    bool      // it is that process
}

// exchange takes a node's disk away while it is down and puts another one in, if what is promised covers that.
func (n *node) exchange() {
	w := n.w
	if n.disks.original != nil || n.harmed() || n.lying || len(w.nodes) == 1 || !n.founded() {
		return
	}
	if n.rng.Float64() >= w.opt.Impostors || w.hurtWith(n) > (len(w.nodes)-1)/2 {
		if n.rng.IntN(2) == 0 {
			n.disks.copied, n.disks.epoch = n.copyDisk("copy"), promisedEpoch(n.fs.Peek("hardstate"))
		}
		return
	}
	kind := [...]string{"wiped", "wiped", "older", "older", "older", "hard state gone"}[n.rng.IntN(6)]
	switch {
	case kind == "wiped" && n.knownAs(0):
		w.count.Wiped++
		n.put(memfs.New(n.rng.Uint64(), n.mapRootFor("wiped")), kind)
	case kind == "older" && n.disks.copied != nil && n.knownAs(n.disks.epoch+1):
		w.count.Restored++
		n.put(n.disks.copied, kind)
		n.disks.copied = nil
		n.startApart(n.rng.IntN(4))
	case kind == "hard state gone":
		w.count.Unpromised++
		other := n.copyDisk("forgetful")
		for _, off := range [...]int64{0, 4096} {
			other.Rot("hardstate", off, 44, func(p []byte) { clear(p) })
		}
		n.put(other, kind)
	}
}

// put exchanges the disk.
func (n *node) put(other *memfs.FS, kind string) {
	n.w.trace.event(n.w.queue.now, n.index+1, "disk exchanged: "+kind)
	n.disks.original, n.fs, n.hurt, n.logEnd = n.fs, other, true, 0
}

// startApart starts a node, where nobody hears it, so many times.
func (n *node) startApart(times int) {
	for range times {
		n.life++
		apart, err := raftnode.Open(n.env(n.life), n.config(n.life))
		if err != nil { // a disk that is full
			break
		}
		apart.Abandon()
		n.fs = n.fs.ProcessCrash()
	}
	n.life++
}

// outed takes note that a node was refused. It stays down, and its own disk comes back, later or when all heals.
func (n *node) outed(why string) {
	n.w.count.Refused++
	n.w.trace.note(n.w.queue.now, "node %d refused: %s", n.index+1, why)
	n.w.trace.event(n.w.queue.now, n.index+1, "refused")
	n.disks.out = true
	n.crash(false)
	if n.disks.original != nil && n.rng.IntN(2) == 0 {
		n.w.queue.after(exponential(n.rng, 5*time.Second), func() {
			if n.w.faulty && n.disks.out {
				n.giveBack()
			}
		})
	}
}

func (n *node) mayBeRefused() bool { return n.disks.original != nil || n.disks.cloned || n.disks.clone }

// giveBack puts a node's own disk in again and starts it.
func (n *node) giveBack() {
	if n.disks.original == nil || n.w.failure != "" {
		return
	}
	if n.raft != nil {
		n.crash(false)
	}
	n.w.trace.event(n.w.queue.now, n.index+1, "its own disk is back")
	n.fs, n.disks.original, n.disks.out, n.hurt = n.disks.original, nil, false, false
	n.free()
	n.start()
}

// copyDisk returns a copy of a node's disk, as a power cut would leave it.
func (n *node) copyDisk(what string) *memfs.FS {
	return n.fs.CrashClone(rand.New(rand.NewPCG(n.rng.Uint64(), 0)), n.mapRootFor(what))
}

// mapRootFor is a fresh folder on the RAM disk for what bbolt maps on another disk of this node.
func (n *node) mapRootFor(what string) string {
	dir := filepath.Join(n.w.dir, fmt.Sprintf("n%d-%d-%s", n.index+1, n.life, what))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		panic(err)
	}
	return dir
}

// knownAs tells whether all others will still know, in spite of a power cut and once they have their own disks, that they
// have met a run of this node, of that epoch at least.
func (n *node) knownAs(epoch uint64) bool {
	id, err := wal.LoadIdentity(n.fs)
	if err != nil {
		return false
	}
	for _, o := range n.w.nodes {
		if o == n {
			continue
		}
		disk := o.fs
		if o.disks.original != nil {
			disk = o.disks.original
		}
		met, ok := metOnDisk(disk.Durable().Peek("peers"), n.id)
		if !ok || met.Incarnation != id.Incarnation || met.Epoch < epoch {
			return false
		}
	}
	return true
}

// metOnDisk reads what a list of peers says of a member. It is a reader of its own, as the one of the log's frames.
func metOnDisk(b []byte, member uint64) (met wal.Peer, ok bool) {
	const copySize, fixed, runs, record = 4096, 40, 64 * 8, 48
	newest := uint64(0)
	for at := 0; at+copySize <= len(b); at += copySize {
		c := b[at : at+copySize]
		table := crc32.MakeTable(crc32.Castagnoli)
		sum := crc32.Update(crc32.Checksum(c[:20], table), table, c[24:])
		seq := binary.LittleEndian.Uint64(c[8:])
		if sum != binary.LittleEndian.Uint32(c[20:]) || seq <= newest {
			continue
		}
		newest, ok = seq, false
		for i := range int(binary.LittleEndian.Uint32(c[16:])) {
			r := c[fixed+runs+i*record:]
			if binary.LittleEndian.Uint64(r) == member {
				ok = true
				met = wal.Peer{Member: member, Incarnation: [16]byte(r[8:24]), Epoch: binary.LittleEndian.Uint64(r[24:])}
			}
		}
	}
	return met, ok
}

// promisedEpoch is the newest boot epoch in a hard state.
func promisedEpoch(b []byte) (epoch uint64) {
	for _, off := range [...]int{0, 4096} {
		if intactPromise(b, off) {
			epoch = max(epoch, binary.LittleEndian.Uint64(b[off+32:]))
		}
	}
	return epoch
}

// refusalLimit is how soon a node is refused that runs with a disk that has forgotten something: it is told when it speaks,
// and a follower whom nobody speaks to does so when it wants to be elected.
const refusalLimit = 6 * time.Second

// follower is a random node that does not lead, nil if it is not clear who leads.
func (w *world) follower() *node {
	w.within(fullLimit, func() bool { return w.leaderNode() != nil }, "no leader that all follow")
	if w.failure != "" {
		return nil
	}
	return w.nodes[(w.leaderNode().index+1+w.rng.IntN(len(w.nodes)-1))%len(w.nodes)]
}

// oldDiskTrial puts the disk of a moment ago into a follower that has acknowledged writes since: as if its disk had lied
// about what it synced. The leader to whom it acknowledged them knows; whoever met it before that would hold the member to
// the old disk, so only the leader does.
func (w *world) oldDiskTrial() {
	n := w.follower()
	if n == nil {
		return
	}
	old, lead := n.copyDisk("old"), w.leaderNode()
	w.within(fullLimit, w.writes(trialWrites, n), "writes were not accepted")
	w.within(fullLimit, w.settled, "the nodes did not catch up")
	if w.failure != "" {
		return
	}
	w.count.Restored++
	n.crash(false)
	n.put(old, "of a moment ago")
	for _, o := range w.nodes {
		if o != n && o != lead {
			w.net.cut[[2]int{n.index, o.index}], w.net.cut[[2]int{o.index, n.index}] = true, true
		}
	}
	n.start()
	w.within(refusalLimit, func() bool { return n.disks.out }, "a node has forgotten what it acknowledged, and was not refused")
	w.within(fullLimit, w.writes(1, n), "a node was refused, and a write through the others was not accepted")
	w.net.heal()
	n.giveBack()
	w.within(fullLimit, w.settled, "a node has its disk back, and the nodes did not catch up")
}

// cloneTrial starts a second process on a copy of a follower's disk. Its peers listen to one of the two at any time, and the
// other ends. Nobody sends to the second one: its address is not the member's. It is one of the last trials: peers may have
// taken the copy for the member before another one refused it, and then they refuse the original once it starts again.
func (w *world) cloneTrial() {
	if w.opt.Impostors == 0 || len(w.nodes) == 1 || w.failure != "" {
		return
	}
	n := w.follower()
	if n == nil {
		return
	}
	w.count.Clones++
	w.trace.event(w.queue.now, n.index+1, "trial: cloned")
	clone := &node{
		w: w, index: n.index, id: n.id, rng: rand.New(rand.NewPCG(n.rng.Uint64(), 1)), rate: n.rate,
		stalled: map[string]time.Duration{}, fs: n.copyDisk("clone"), disks: disks{clone: true},
	}
	n.disks.cloned = true
	clone.life = n.life + 1_000_000 // so that nobody takes it for a life of the node's
	clone.start()
	w.within(refusalLimit, func() bool { return n.disks.out || clone.disks.out }, "a node runs twice, and neither was refused")
	// The one that ran last is kept.
	if clone.raft != nil {
		clone.crash(false)
	}
	clone.disks.out = true
	n.disks.cloned = false
	if n.disks.out {
		n.fs, n.disks.out = clone.fs, false
		n.start()
	}
	w.within(refusalLimit, w.settled, "one of two nodes is left, and the nodes did not catch up")
}
