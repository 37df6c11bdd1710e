package raftnode

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/wal"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// A vote counts, and so does an acknowledgement, because whoever gave it will not forget it. A member whose data directory
// was wiped, copied or brought back from a backup has forgotten, so its peers remember for it: nothing that a run of a
// member says is listened to before that run is admitted, and which run that was is durable here first. From then on no
// other directory, no older run and no second one from a copy is listened to under that member's id.
//
// What is not durable, and ends with this process, is what the member told this node that it promised. A run that has
// less was robbed by its disk, or is a copy. That it was refused is durable again.
type acquaintances struct {
	lane    env.Lane
	file    *wal.PeersFile // owned by the lane
	runs    []uint64       // as in wal.Peers
	met     map[uint64]wal.Peer
	told    map[uint64]told
	saving  bool
	waiting []func() // for the end of a save, oldest first
}

// told is the most that a member said it has on its disk.
type told struct {
	term    uint64
	ack     uint64 // the last entry that it acknowledged
	ackTerm uint64 // to the leader of this term
}

// ErrDisowned says that a peer does not take this node for the member that it says it is.
var ErrDisowned = errors.New("refused by a peer")

// openPeers reads whom this node has met, and enters this run among its own.
func (n *Node) openPeers() error {
	a := &n.peers
	a.lane = n.env.Lane("peers")
	a.met, a.told = map[uint64]wal.Peer{}, map[uint64]told{}
	var peers wal.Peers
	lost := false
	err := retrying(n.env.FS, func() (err error) {
		a.file, peers, err = wal.OpenPeers(n.env.FS)
		if errors.Is(err, wal.ErrPeersLost) {
			// One of many who remember: that it forgot does no harm unless another member is wiped before it meets this one.
			n.logger.Warn("peers are met anew", "error", err)
			lost = true
			a.file, peers, err = wal.CreatePeers(n.env.FS)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("open the list of peers met: %w", err)
	}
	for _, p := range peers.Met {
		a.met[p.Member] = p
	}
	if !lost {
		a.runs = ownRuns(peers, n.self.Epoch)
	}
	a.runs = append(a.runs, n.hello.Nonce)
	a.runs = a.runs[max(0, len(a.runs)-wal.MaxRuns):]
	n.hello.Runs = a.runs
	if err := retrying(n.env.FS, func() error { return a.file.Save(n.peersWith(nil)) }); err != nil {
		return errors.Join(err, a.file.Close())
	}
	return nil
}

// ownRuns are the nonces of the runs before the one of that epoch. Those that are not in the file ended before they had one.
func ownRuns(p wal.Peers, epoch uint64) []uint64 {
	if p.Epoch >= epoch { // the disk took the epoch back: whoever met the run of then will tell the difference
		return p.Runs[:len(p.Runs)-int(min(p.Epoch-epoch+1, uint64(len(p.Runs))))]
	}
	return append(p.Runs, make([]uint64, min(epoch-p.Epoch-1, wal.MaxRuns))...)
}

// peersWith is what the file shall hold with one more peer, unless it is nil.
func (n *Node) peersWith(p *wal.Peer) wal.Peers {
	a := &n.peers
	peers := wal.Peers{Epoch: n.self.Epoch, Runs: a.runs}
	for _, id := range sortedKeys(a.met) {
		if p == nil || id != p.Member {
			peers.Met = append(peers.Met, a.met[id])
		}
	}
	if p != nil {
		peers.Met = append(peers.Met, *p)
	}
	return peers
}

// Hello is what this run says of itself to peers.
func (n *Node) Hello() peerpb.Hello { return n.hello }

// Admit decides whether a run may speak for a member, and calls done on the loop: with nil once it may, which is durable
// then; with a [peerpb.Refusal] if it never may; with another error if it may try again.
func (n *Node) Admit(member uint64, h peerpb.Hello, done func(error)) {
	a := &n.peers
	switch {
	case n.stopped:
		done(ErrStopped)
	case a.saving:
		a.waiting = append(a.waiting, func() { n.Admit(member, h, done) })
	default:
		p := a.met[member]
		err := a.judge(member, h)
		switch {
		case errors.Is(err, errForgetful) && p.Refused != h.Nonce:
			p.Refused = h.Nonce
			n.meet(p, func(saved error) { done(firstError(saved, refusal(err))) })
		case err != nil || a.admitted(member, h.Boot):
			done(refusal(err))
		default:
			p.Member, p.Incarnation, p.Epoch, p.Nonce = member, h.Incarnation, h.Epoch, h.Nonce
			n.meet(p, func(err error) {
				n.endOffer(member, raft.SnapshotFailure) // the run before was fetching it, and this one may not need it any more
				done(err)
			})
		}
	}
}

// admitted tells whether that run is the one that speaks for the member.
func (a *acquaintances) admitted(member uint64, b peerpb.Boot) bool {
	p, ok := a.met[member]
	return ok && p.Incarnation == b.Incarnation && p.Epoch == b.Epoch && p.Nonce == b.Nonce
}

// What a run is refused for, with what is to be done. All are for good.
var (
	errWiped = errors.New("it was wiped or replaced; if the old one still exists start the member with it, else " + notThisMember)
	errCopy  = errors.New("there are two copies of the directory; keep the one that ran last, see that no process runs on " +
		"another, and start the member on it again")
	errForgetful = errors.New("its disk lost what it had synced, or the directory is a copy from before; if the newer one " +
		"exists start the member with it, else " + notThisMember)
	errFull = errors.New("no more members can be remembered")
)

// refusal is err as whoever called shall get it.
func refusal(err error) error {
	if err == nil || errors.Is(err, errFull) {
		return err
	}
	return peerpb.Refusal(err.Error())
}

// judge says why a run may not speak for a member.
func (a *acquaintances) judge(member uint64, h peerpb.Hello) error {
	p, met := a.met[member]
	t := a.told[member]
	switch {
	case !met && len(a.met) == wal.MaxPeers:
		return fmt.Errorf("this member has met %d others: %w", len(a.met), errFull)
	case !met:
		return nil
	case a.admitted(member, h.Boot): // it says the same as when it was admitted, and has promised more since
		return nil
	case p.Incarnation != h.Incarnation:
		return fmt.Errorf("member %x comes with data directory %x, but its data directory is %x: %w", member, h.Incarnation,
			p.Incarnation, errWiped)
	case p.Refused != 0 && slices.Contains(h.Runs, p.Refused):
		return fmt.Errorf("member %x comes with a data directory that had forgotten what it promised when it was here before: %w",
			member, errForgetful)
	case h.Epoch < p.Epoch:
		return fmt.Errorf("member %x comes with start %d of its data directory, but its start %d was here already: %w", member,
			h.Epoch, p.Epoch, errCopy)
	case !descends(h, p):
		return fmt.Errorf("member %x comes with start %d of its data directory, which knows nothing of a start %d that was here: %w",
			member, h.Epoch, p.Epoch, errCopy)
	case h.Term < t.term:
		return fmt.Errorf("member %x has forgotten term %d, in which it voted or acknowledged, it comes with term %d: %w", member,
			t.term, h.Term, errForgetful)
	case h.Term == t.ackTerm && h.Last < t.ack && !h.Repairing:
		return fmt.Errorf("member %x has forgotten entries, it acknowledged all up to %d in term %d and comes with a log that ends "+
			"at %d: %w", member, t.ack, t.ackTerm, h.Last, errForgetful)
	}
	return nil
}

// descends tells whether a run of the same data directory, not an older one, comes from the one that was met. A copy of the
// directory that was made before has other runs since, however often it was started. What is too long ago is believed.
func descends(h peerpb.Hello, p wal.Peer) bool {
	ago := h.Epoch - p.Epoch
	return ago >= uint64(len(h.Runs)) || h.Runs[uint64(len(h.Runs))-1-ago] == p.Nonce
}

// meet makes durable which run speaks for a member.
func (n *Node) meet(p wal.Peer, done func(error)) {
	a := &n.peers
	a.saving = true
	list := n.peersWith(&p)
	a.lane.Do(func() error {
		return retrying(n.env.FS, func() error { return a.file.Save(list) })
	}, func(err error) {
		a.saving = false
		if n.stopped {
			err = ErrStopped
		}
		switch {
		case err == nil:
			a.met[p.Member] = p
		case !errors.Is(err, env.ErrNoSpace) && !n.stopped:
			n.fail(err)
		}
		done(err)
		waiting := a.waiting
		a.waiting = nil
		for _, f := range waiting { // those behind one that saves again wait again, in the same order
			f()
		}
	})
}

// takeNote remembers what a member says it has on its disk. Only these messages wait for their sender's disk.
func (a *acquaintances) takeNote(from uint64, m *raftpb.Message) {
	if k := m.GetType(); k != raftpb.MsgAppResp && k != raftpb.MsgVoteResp {
		return
	}
	t := a.told[from]
	t.term = max(t.term, m.GetTerm())
	if m.GetType() == raftpb.MsgAppResp && !m.GetReject() && m.GetTerm() >= t.ackTerm {
		if m.GetTerm() > t.ackTerm {
			t.ackTerm, t.ack = m.GetTerm(), 0
		}
		t.ack = max(t.ack, m.GetIndex())
	}
	a.told[from] = t
}

// Disowned ends this node: a peer refused it for good.
func (n *Node) Disowned(by uint64, reason string) {
	n.fail(fmt.Errorf("%w: member %x: %s", ErrDisowned, by, reason))
}
