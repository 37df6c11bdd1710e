package raftnode

import (
	"errors"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// stateLoss is a state file that cannot be used. Another one comes from a peer, as a snapshot.
type stateLoss struct {
	reason  string // "" if the state is there
	suspect bool   // it may be sound: two attempts to open it died, and that is all that is known
	rounds  int    // how often all peers were asked in vain
}

// insist opens a suspect state after all: when everybody's is suspect, as it may be after power cuts at the wrong moment,
// there is nobody to fetch another one from. peer is asked next if that fails.
func (n *Node) insist(peer uint64) {
	n.fetch = nil
	n.logger.Warn("no peer has a snapshot to offer: trying the suspect state file again")
	o := n.cfg.Backend
	o.Insist = true
	n.applyLane.Do(func() error { return n.loadState(o) }, func(err error) {
		switch {
		case n.stopped:
		case errors.Is(err, backend.ErrDamaged):
			if err := n.stateLost(err); err != nil {
				n.logger.Warn("damaged state not marked", "error", err)
			}
			n.restoreState(peer)
		case err != nil:
			n.fail(err)
		default:
			n.joinState(peer)
		}
	})
}

// joinState takes a state that was opened late, unless the log begins behind it.
func (n *Node) joinState(peer uint64) {
	if applied, _ := n.state.machine.Applied(); applied >= n.mem.baseIndex {
		n.adopt()
		return
	}
	n.lost.suspect = false
	if err := n.dropState(); err != nil {
		n.fail(err)
		return
	}
	n.restoreState(peer)
}

// damage says what the disk lost, for whoever asks for the status.
func (n *Node) damage() string {
	switch {
	case n.repair != nil:
		return n.repair.describe()
	case n.lost.reason == "":
		return ""
	case n.fetch != nil:
		return n.lost.reason + "; fetching a snapshot from member " + hex(n.fetch.from)
	}
	return n.lost.reason
}
