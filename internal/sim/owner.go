package sim

import (
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
