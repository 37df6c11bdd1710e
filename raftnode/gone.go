package raftnode

// goneElectionTicks is what is left of the election timeout once the leader's process is gone: enough for the other followers
// to notice it, too.
const goneElectionTicks = 1

// PeerGone says that a peer was connected until a moment ago, and now nobody listens there: its process has ended. If it led,
// its followers need not wait for an election timeout, which is for leaders of which nothing is known. Each forgets its leader,
// so that it votes for others, and lets that timeout count as over but for what chance adds.
//
// A wrong alarm costs an election at the most: the next heartbeat of a leader that is there makes up for it.
func (n *Node) PeerGone(id uint64) {
	if n.stopped || n.raw == nil || id != n.raw.BasicStatus().Lead || id == n.self.Member {
		return
	}
	n.logger.Info("the leader's process is gone: no election timeout is waited for", "leader-id", hex(id), "term", n.term)
	_ = n.raw.ForgetLeader() // the error says that proposals are dropped, and this is none
	if !n.standsStill() {
		for range n.cfg.ElectionTicks - goneElectionTicks {
			n.raw.Tick()
		}
	}
	n.schedule()
}
