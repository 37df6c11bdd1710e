package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// Disks lie while a node is down, and while it runs: bits flip, sectors read as zeros, or not at all, or hold what belongs
// elsewhere, files are gone. Two rules, the atlas, keep that survivable. A minority of the nodes at the most is damaged at any time, so that whatever was
// acknowledged is intact on one of the others. And there is evidence behind damage to a log that it is damage: the last
// frame before its seal looks like a write that was cut off, which no log can tell apart.
//
// Evidence is looked for by a reader of the log's format of its own, so that a mistake in the product's does not decide
// what is damaged.

// rotKinds are the ways in which a node's files get damaged.
var rotKinds = [...]string{"log", "log", "log", "log", "stale frame", "stale frame", "log gone", "state", "state", "value",
	"current", "hardstate"}

// rot damages the files of a node that is down, if the atlas allows it.
func (n *node) rot() {
	w := n.w
	kind := rotKinds[n.rng.IntN(len(rotKinds))]
	if kind == "hardstate" { // one copy, if both are there: that costs nothing
		if !n.twoPromises() {
			return
		}
		n.damage(kind, "hardstate", n.rng.Int64N(2)*4096, 44, func(p []byte) { p[n.rng.IntN(len(p))] ^= 1 << n.rng.IntN(8) })
		return
	}
	if w.hurtWith(n) > (len(w.nodes)-1)/2 || !n.founded() {
		return
	}
	switch kind {
	case "log":
		n.rememberLog()
		n.hurt = n.rotLog() || n.hurt
	case "stale frame":
		n.rememberLog()
		n.hurt = n.rotStale() || n.hurt
	case "log gone":
		for _, s := range n.segments() {
			n.remove("wal/" + s)
		}
		if err := n.fs.SyncDir("wal"); err != nil { // or a power cut would bring back some of it, and not the newest
			panic(err)
		}
		n.hurt = true
		w.trace.event(w.queue.now, n.index+1, "rot "+kind)
		w.count.Rotted++
	default:
		n.hurt = n.rotState(kind) || n.hurt
	}
}

// rotLive damages a file of a node that runs: a copy of its hard state, its log, or a value in its state file. Every other
// time a client then reads all values. The node must notice before it serves one that is damaged. The client reads with the
// node's own checksums, so that a value which fails none of them is served, and found by the checks.
func (n *node) rotLive() {
	w := n.w
	if n.raft == nil || n.paused || n.view == nil || n.mayBeRefused() {
		return
	}
	kind := n.rng.IntN(4)
	if kind == 0 && n.twoPromises() {
		n.damage("hard state while it runs", "hardstate", n.rng.Int64N(2)*4096, 44, n.flipBit)
		return
	}
	if w.hurtWith(n) > (len(w.nodes)-1)/2 {
		return
	}
	if kind == 1 {
		n.hurt = n.rotFrame(false) || n.hurt
		return
	}
	// What is in memory hides what is in the file: then only a scrub or the next start will find it.
	if !n.rotValue() || kind == 2 {
		return
	}
	if _, err := n.view.KV.HashKV(0); n.foundDamage(err) {
		w.count.FoundRunning++
	}
}

// foundDamage does what the server does with the error of a read: if it is about damage that was done, the node hears of it.
func (n *node) foundDamage(err error) bool {
	if n.rotten == "" || !errors.Is(err, backend.ErrDamaged) {
		return false
	}
	n.guard(func() { n.raft.StateDamaged(err) })
	return true
}

// twoPromises tells whether both copies of the hard state are there, and would be the same after a power cut.
func (n *node) twoPromises() bool {
	seen := n.fs.Peek("hardstate")
	return intactPromise(seen, 0) && intactPromise(seen, 4096) && bytes.Equal(seen, n.fs.Durable().Peek("hardstate"))
}

// intactPromise checks one copy of the hard state.
func intactPromise(b []byte, off int) bool {
	return len(b) >= off+44 &&
		crc32.Checksum(b[off:off+40], crc32.MakeTable(crc32.Castagnoli)) == binary.LittleEndian.Uint32(b[off+40:])
}

// harmed tells whether a node needs the others to be what it was.
func (n *node) harmed() bool { return n.hurt || n.twist.harms() }

// hurtWith counts the nodes that are damaged or have diverged, if one more were.
func (w *world) hurtWith(n *node) int {
	hurt := 0
	for _, o := range w.nodes {
		if o.harmed() || o == n {
			hurt++
		}
	}
	return hurt
}

// planRot damages the state of nodes while they run.
func (w *world) planRot() {
	if w.opt.Rot > 0 {
		w.every(10*time.Second, func() { w.nodes[w.rng.IntN(len(w.nodes))].rotLive() })
	}
}

// stateFile is the name of bbolt's file, "" if there is none.
func (n *node) stateFile() string {
	var generation string
	fmt.Sscanf(string(n.fs.Peek("state/CURRENT")), "%16s", &generation)
	if generation == "" {
		return ""
	}
	return "state/" + generation + "/db"
}

// founded tells whether the node's files have come to be: an interrupted creation is no damage.
func (n *node) founded() bool {
	_, err := wal.LoadIdentity(n.fs)
	return err == nil && len(n.segments()) > 0
}

// damage changes bytes of a file.
func (n *node) damage(kind, name string, off int64, length int, change func([]byte)) {
	if size := n.sizeOf(name); off+int64(length) > size {
		return
	}
	n.w.count.Rotted++
	n.w.trace.event(n.w.queue.now, n.index+1, "rot "+kind+" of "+name, uint64(off)) // not how long bbolt's file is
	n.fs.Rot(name, off, length, change)
}

func (n *node) remove(name string) {
	if err := n.fs.Remove(name); err != nil {
		panic(fmt.Sprintf("remove %s: %v", name, err))
	}
}

func (n *node) sizeOf(name string) int64 { return int64(len(n.fs.Peek(name))) }

// segments are the names of the log's files, oldest first.
func (n *node) segments() []string {
	return slices.DeleteFunc(n.fs.PeekDir("wal"), func(s string) bool { return !strings.HasSuffix(s, ".log") })
}

// rotLog damages a place in the log that has evidence behind it.
func (n *node) rotLog() bool {
	names := n.segments()
	i := n.rng.IntN(len(names))
	if n.rng.IntN(2) == 0 {
		i = len(names) - 1
	}
	name := "wal/" + names[i]
	content := n.fs.Peek(name)
	end := int64(len(content))
	if i == len(names)-1 {
		end = n.evidence(names[i], content)
	}
	off, length := n.rng.Int64N(end), 1
	if n.rng.IntN(5) == 0 && n.spoil(name, off) {
		return true
	}
	change := func(p []byte) { p[0] ^= 1 << n.rng.IntN(8) }
	if what := n.rng.IntN(4); what > 0 {
		off, length = off/512*512, 512<<(3*n.rng.IntN(2))
		from := n.rng.Int64N(int64(len(content))/512) * 512
		change = func(p []byte) { clear(p) }
		if what == 1 { // what was written elsewhere
			change = func(p []byte) { copy(p, content[from:]) }
		}
	}
	if off+int64(length) > end {
		return false
	}
	n.damage("log", name, off, length, change)
	return true
}

// evidence is the end of what must have been synced in the newest segment: there the last intact frame header begins, or
// ends what the segment was born with. A header that is not synced itself is none: a power cut at the next start takes it.
func (n *node) evidence(name string, b []byte) int64 {
	if len(b) < 512 {
		return 0
	}
	end := max(512, born(b))
	synced := n.fs.Durable().Peek("wal/" + name)
	for _, f := range n.frames(name, b) {
		if header := f.at + frameHeaderBytes; header <= int64(len(synced)) && bytes.Equal(b[f.at:header], synced[f.at:header]) {
			end = max(end, f.at)
		}
	}
	return end
}

// frames are those in a segment whose headers are intact.
func (n *node) frames(name string, b []byte) []frame {
	identity := n.fs.Peek("identity")
	if len(identity) < 40 {
		return nil
	}
	return framesOf([16]byte(identity[24:40]), name, b)
}

func framesOf(incarnation [16]byte, name string, b []byte) []frame {
	var number uint64
	fmt.Sscanf(name, "%x", &number)
	table := crc32.MakeTable(crc32.Castagnoli)
	seed := crc32.Checksum(binary.LittleEndian.AppendUint64(incarnation[:], number), table)
	var found []frame
	for off := 512; off+frameHeaderBytes <= len(b); off += 8 {
		h := b[off : off+frameHeaderBytes]
		magic := string(h[:3]) == "QKV" && strings.ContainsRune("ers", rune(h[3]))
		if magic && crc32.Update(crc32.Update(seed, table, binary.LittleEndian.AppendUint64(nil, uint64(off))), table, h[:52]) == binary.LittleEndian.Uint32(h[52:]) {
			found = append(found, frameAt(b, int64(off)))
		}
	}
	return found
}

// rotState damages the state file in a way whose outcome does not depend on how bbolt arranges its pages.
func (n *node) rotState(kind string) bool {
	db := n.stateFile()
	size := n.sizeOf(db)
	if size == 0 {
		return false
	}
	switch kind {
	case "current":
		n.damage(kind, "state/CURRENT", n.rng.Int64N(25), 1, func(p []byte) { p[0] ^= 1 << n.rng.IntN(8) })
	case "value":
		// Wherever bbolt keeps it: one of the copies may count.
		value := fmt.Sprintf("v%d", n.rng.IntN(n.w.load.next+1))
		n.damage(kind, db, 0, int(size), func(p []byte) { flipValue(p, value) })
	default:
		if n.rng.IntN(2) == 0 {
			n.remove(db)
			n.w.count.Rotted++
			n.w.trace.event(n.w.queue.now, n.index+1, "rot: state gone")
			return true
		}
		n.damage(kind, db, 0, 2*4096, func(p []byte) { clear(p) }) // both of bbolt's meta pages
	}
	return true
}

func flipValue(p []byte, value string) {
	for at := 0; ; at++ {
		i := strings.Index(string(p[at:]), value)
		if i < 0 {
			return
		}
		at += i
		if next := at + len(value); next == len(p) || p[next] < '0' || p[next] > '9' {
			p[at] ^= 1
		}
	}
}

// healed takes note that a damaged node is whole again.
func (n *node) healed() {
	if n.rotten != "" && n.rotten != n.stateFile() {
		n.rotten = ""
	}
	n.rottenLog = slices.DeleteFunc(n.rottenLog, func(p place) bool { return p.gone(n) })
	if len(n.rottenLog) == 0 {
		n.rottenLog = nil
	}
	whole := n.rotten == "" && n.rottenLog == nil && !n.lying && n.disks.original == nil
	if n.hurt && whole && n.raft != nil && !n.stat.Restoring && n.stat.Damage == "" && n.stat.MemberID != 0 {
		n.hurt = false
		n.w.count.Repaired++
	}
}
