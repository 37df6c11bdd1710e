package sim

import (
	"encoding/binary"
	"os" //determinism:ok bbolt's file is a real one
	"strings"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

// Each file of a node belongs to one lane, so that no two pieces of work on it ever overlap. A lane here does a job in one
// step, which hides that: work on the wrong lane does no harm, and on a real machine it corrupts. So every operation on a
// file is held against who may do it. A boot, before the loop runs, may do all of them; the loop itself, never held up by a
// disk, none.

// owned holds an operation against who may do it.
func (n *node) owned(op memfs.Op) {
	if owner := ownerOf(op); !n.booting && n.lane != owner && (owner != "" || n.lane == "") {
		n.w.violation("node %d: %s %s, which belongs to lane %q, on lane %q", n.index+1, op.Kind, faultName(op.Name), owner, n.lane)
	}
	if n.switches(op) && n.committing() {
		n.w.violation("node %d: another state is put in place, and a commit to the one before is still to come", n.index+1)
	}
}

// committing tells whether a flush is sealed, and lane flush still has to commit it.
func (n *node) committing() bool {
	l := n.lanes["flush"]
	return l != nil && len(l.jobs) > 0
}

// ownCommits does a job of a lane. bbolt writes its file past the hook, so whether the job did is seen from the file: only
// lane flush commits to the one in use. Of the other lanes, apply and snap have the state at hand.
func (n *node) ownCommits(lane string, job func()) {
	if lane != "apply" && lane != "snap" {
		job()
		return
	}
	name, before := n.commits()
	job()
	if now, after := n.commits(); now == name && after != before {
		n.w.violation("node %d: lane %q commits to %s, which belongs to lane \"flush\"", n.index+1, lane, faultName(name))
	}
}

// commits names the state file in use, with a number that every commit to it changes: the sum of the transactions that its
// two meta pages are of.
func (n *node) commits() (name string, sum uint64) {
	const transactionAt, metaPages = 64, 2
	name = n.stateFile()
	file := n.metas.of(n, name)
	if file == nil {
		return "", 0
	}
	for page := range metaPages {
		var id [8]byte
		if _, err := file.ReadAt(id[:], int64(page*os.Getpagesize()+transactionAt)); err != nil {
			return "", 0
		}
		sum += binary.LittleEndian.Uint64(id[:])
	}
	return name, sum
}

// metas is the state file in use, open to be looked at: twice for most jobs, so that to open it each time would be a quarter of
// all that the simulator does.
type metas struct {
	name string
	life int // of the node: a crash puts another file in its place
	file *os.File
}

// of returns the file, nil if there is none.
func (m *metas) of(n *node, name string) *os.File {
	if m.file == nil || m.name != name || m.life != n.life {
		m.close()
		if name == "" {
			return nil
		}
		file, err := os.Open(n.fs.MapPath(name))
		if err != nil {
			return nil
		}
		*m = metas{name: name, life: n.life, file: file}
	}
	return m.file
}

func (m *metas) close() {
	if m.file != nil {
		m.file.Close()
		m.file = nil
	}
}

// switches tells whether an operation of a node that runs puts another state in place. It comes once in a snapshot's
// installation, when the log has begun anew already, and gets more than its share of crashes.
func (n *node) switches(op memfs.Op) bool {
	return !n.booting && op.Kind == memfs.OpRename && op.Name == "state/CURRENT.tmp"
}

// ownerOf is the lane that alone may do an operation once the node runs; "" if several may.
func ownerOf(op memfs.Op) string {
	changes := op.Kind == memfs.OpWrite || op.Kind == memfs.OpSync || op.Kind == memfs.OpRename || op.Kind == memfs.OpRemove
	switch {
	case !changes:
		return ""
	case op.Name == "hardstate", strings.HasPrefix(op.Name, "wal/") && strings.HasSuffix(op.Name, ".log"):
		return "wal"
	case op.Name == "state/CURRENT.tmp" && op.Kind == memfs.OpRename: // see switches
		return "apply"
	case strings.HasPrefix(op.Name, "snap/") && op.Kind != memfs.OpRemove:
		return "snap"
	}
	return ""
}
