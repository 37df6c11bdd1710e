package raftnode

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// transfer is a handover of leadership under way.
type transfer struct {
	target uint64
	named  bool // the caller chose the target: no other will do
	tried  []uint64
	ticks  int
	done   func(error)
}

// TransferLeadership hands leadership to target, or with target 0 to the most caught-up voter that was heard lately;
// if that one does not take over within an election timeout, once more to the next best. Writes that arrive meanwhile
// wait and go to the new leader. done runs on the loop.
func (n *Node) TransferLeadership(target uint64, done func(error)) {
	switch {
	case n.stopped:
		done(ErrStopped)
	case n.raw == nil || n.role != raft.StateLeader:
		done(ErrNotLeader)
	case n.transfer != nil:
		done(ErrTransferTimeout)
	case target == n.self.Member:
		done(nil)
	case target != 0 && !slices.Contains(n.mem.conf.GetVoters(), target):
		done(ErrBadTransferee)
	default:
		n.transfer = &transfer{target: target, named: target != 0, done: done}
		n.tryTransfer()
	}
}

func (n *Node) tryTransfer() {
	t := n.transfer
	if !t.named {
		t.target = n.bestTransferee(t.tried)
	}
	if t.target == 0 || len(t.tried) == transferAttempts {
		n.endTransfer(ErrTransferTimeout)
		return
	}
	t.tried, t.ticks = append(t.tried, t.target), 0
	n.logger.Info("handing leadership over", "to", hex(t.target), "term", n.term)
	n.raw.TransferLeader(t.target)
	n.schedule()
}

// bestTransferee is the most caught-up voter heard lately, but for those tried.
func (n *Node) bestTransferee(tried []uint64) uint64 {
	var best, match uint64
	now := n.env.Clock.Now()
	voters := n.mem.conf.GetVoters()
	n.raw.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if id == n.self.Member || !slices.Contains(voters, id) || slices.Contains(tried, id) || !n.hears(id, now) {
			return
		}
		if n.appends.blocked != nil && pr.Match <= n.mem.last() {
			return // it may have no space either: only one that stored what this node could not is better off
		}
		if n.lost.sources != nil && !slices.Contains(n.lost.sources, id) {
			return // its state has diverged as well, as far as is known
		}
		// Equal matches fall to the lower id, so that the order of the visit does not count.
		if best == 0 || pr.Match > match || (pr.Match == match && id < best) {
			best, match = id, pr.Match
		}
	})
	return best
}

// transferTick gives the target an election timeout, which is when raft itself gives up.
func (n *Node) transferTick() {
	if n.transfer == nil {
		return
	}
	n.transfer.ticks++
	if n.transfer.ticks <= n.cfg.ElectionTicks {
		return
	}
	if n.role == raft.StateLeader && !n.transfer.named {
		n.tryTransfer()
		return
	}
	n.endTransfer(ErrTransferTimeout)
}

// transferObserved ends a transfer as soon as this node follows another leader: well, unless another one was named.
func (n *Node) transferObserved() {
	t := n.transfer
	switch {
	case t == nil || n.leader == 0 || n.leader == n.self.Member:
	case t.named && n.leader != t.target:
		n.endTransfer(ErrTransferTimeout)
	default:
		n.endTransfer(nil)
	}
}

func (n *Node) endTransfer(err error) {
	done := n.transfer.done
	n.transfer = nil
	done(err)
}
