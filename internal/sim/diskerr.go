package sim

import (
	"errors"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/raftnode"
)

// errDisk is what a disk says that fails. A node that hears it when it writes or syncs must end without acknowledging
// anything more; it starts again, and fails again as long as the disk does.
var errDisk = errors.New("input/output error")

// diskError is a disk that fails from its next operation of a kind on: once, or for some time.
type diskError struct {
	kind  memfs.Kind
	short bool          // part of what is to be written gets there
	until time.Duration // 0: once
}

// planDiskErrors lets disks fail.
func (w *world) planDiskErrors() {
	w.every(w.opt.DiskErrorEvery, func() {
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		e := &diskError{kind: memfs.OpSync}
		switch w.rng.IntN(4) {
		case 0:
			e.kind = memfs.OpWrite
		case 1:
			e.kind, e.short = memfs.OpWrite, true
		case 2:
			e.until = w.queue.now + exponential(w.rng, 3*time.Second)
		}
		n.failing = e
	})
}

// diskError says how the disk fails in an operation.
func (n *node) diskError(op memfs.Op) error {
	e := n.failing
	if e == nil {
		return nil
	}
	if e.until > 0 && e.until < n.w.queue.now {
		n.failing = nil
		return nil
	}
	// How much of a snapshot there is depends on how long bbolt's file happens to be: no part of the seed.
	sync := op.Kind == memfs.OpSync || op.Kind == memfs.OpSyncDir
	if strings.HasPrefix(op.Name, "snap") || op.Kind != e.kind && !(sync && e.kind == memfs.OpSync) {
		return nil
	}
	if e.until == 0 {
		n.failing = nil
	}
	n.w.trace.event(n.w.queue.now, n.index+1, "disk error: "+string(op.Kind)+" "+op.Name)
	switch {
	case sync:
		n.w.count.SyncErrors++
	case e.short:
		n.w.count.WriteErrors++
		return &memfs.Short{N: n.rng.IntN(op.Len + 1), Err: errDisk}
	default:
		n.w.count.WriteErrors++
	}
	return errDisk
}

// failed is the end of a process that says why. It is right only if its disk has failed it, or is not its own.
func (n *node) failed(life int, err error) {
	switch {
	case n.life != life:
		return
	case errors.Is(err, raftnode.ErrDisowned) && n.mayBeRefused():
		n.w.queue.after(0, n.living(life, func() { n.outed(err.Error()) }))
		return
	case !errors.Is(err, errDisk):
		n.w.violation("node %d failed: %v", n.index+1, err)
		return
	}
	n.w.count.EndedByError++
	n.w.queue.after(0, func() {
		if n.life == life {
			n.crash(n.rng.Float64() < n.w.opt.PowerLoss)
		}
	})
}
