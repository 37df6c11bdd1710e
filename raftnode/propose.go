package raftnode

import (
	"errors"
	"slices"

	"go.etcd.io/raft/v3"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// queued is a command waiting to be proposed (on the leader) or forwarded (elsewhere).
type queued struct {
	apply.Command
	own *Proposal // nil for a command that a peer forwarded
}

// Propose takes a client's write. It is refused at once, with ErrTooManyRequests, when the node already holds as many
// as it may; otherwise it waits for a leader until its deadline, and its answer comes from this node's own apply.
func (n *Node) Propose(p *Proposal) {
	switch {
	case n.stopped:
		p.Done(apply.Response{}, ErrStopped)
		return
	case n.pending.len() >= n.cfg.MaxPending, n.pending.bytes+len(p.Request) > n.cfg.MaxPendingBytes,
		n.qbytes+len(p.Request) > n.cfg.MaxPendingBytes:
		n.stats.ProposalsFailed++
		p.Done(apply.Response{}, ErrTooManyRequests)
		return
	case n.refusesGrowth(p.Request):
		n.stats.ProposalsFailed++
		p.Done(apply.Response{}, ErrNoSpace)
		return
	}
	n.self.Counter++
	p.id = n.self
	p.started = n.env.Clock.Now()
	p.deadline = p.started + n.cfg.RequestTimeout
	n.pending.add(p)
	n.enqueue(queued{Command: apply.Command{ID: p.id, Request: p.Request}, own: p})
}

// Cancel withdraws a proposal whose client has gone. One that was not sent yet will never take effect.
func (n *Node) Cancel(p *Proposal) {
	if !p.finished && p.id != (apply.RequestID{}) {
		n.pending.finish(p.id.Counter, apply.Response{}, ErrTimeout)
	}
}

func (n *Node) enqueue(q queued) {
	n.queue = append(n.queue, q)
	n.qbytes += len(q.Request)
	n.schedule()
}

// proposeWaiting empties the queue: into raft's log on the leader, into a message to the leader elsewhere. The leader
// adds what it has to say itself.
//
// The leader holds back while an append is on its way to disk. No time is lost (W1 lets no frame start before that
// fsync returns) and all that arrives meanwhile becomes one entry.
func (n *Node) proposeWaiting() {
	switch {
	case n.leader == 0:
	case n.role == raft.StateLeader:
		if !n.appends.busy {
			n.proposeBatches()
			n.proposeExpiries()
		}
	case len(n.queue) > 0:
		n.forward()
	}
}

func (n *Node) proposeBatches() {
	for len(n.queue) > 0 {
		batch, places := n.nextBatch()
		if len(batch) > 0 {
			n.encoded = apply.AppendBatch(n.encoded[:0], batch)
			err := n.raw.Propose(n.encoded) // raft copies it
			if errors.Is(err, raft.ErrProposalDropped) {
				return // a transfer is on, or too much is uncommitted: the queue keeps its order and waits
			}
			if err != nil {
				n.logger.Warn("proposal refused", "error", err)
				return
			}
			n.notices.proposed(batch, n.self.Member)
		}
		n.dequeue(places)
	}
}

// nextBatch returns the live commands at the front of the queue that fit into one entry, and how many queue places
// they and the dead ones between them take. The batch is good until dequeue or the next one.
func (n *Node) nextBatch() (batch []apply.Command, places int) {
	batch = n.batch[:0]
	size := 0
	for _, q := range n.queue {
		if q.own != nil && q.own.finished {
			places++
			continue
		}
		if len(batch) > 0 && (size+len(q.Request) > n.cfg.BatchBytes || len(batch) == n.cfg.BatchCommands) {
			break
		}
		size += len(q.Request)
		batch = append(batch, q.Command)
		places++
	}
	n.batch = batch
	return batch, places
}

// What an empty queue keeps for commands to come: memory for so many of them, and for so many bytes of an entry.
const (
	queueKept   = 4096
	encodedKept = 1 << 20
)

// dequeue drops the first places of the queue: the live commands in them have been sent.
func (n *Node) dequeue(places int) {
	for _, q := range n.queue[:places] {
		n.qbytes -= len(q.Request)
		if q.own != nil && !q.own.finished {
			q.own.sent = true
		}
	}
	clear(n.queue[:places])
	clear(n.batch)
	if cap(n.encoded) > encodedKept {
		n.encoded = nil
	}
	switch {
	case places < len(n.queue):
		n.queue = n.queue[places:]
	case cap(n.queue) <= queueKept:
		n.queue = n.queue[:0]
	default:
		n.queue = nil
	}
}

// forgetDead drops commands that nobody waits for any more. Without a leader they would fill the queue.
func (n *Node) forgetDead() {
	n.queue = slices.DeleteFunc(n.queue, func(q queued) bool {
		dead := q.own != nil && q.own.finished
		if dead {
			n.qbytes -= len(q.Request)
		}
		return dead
	})
}

// forward sends the node's own waiting commands to the leader: once for each leader. Duplicates that a lost leader's
// log may still hold are dropped at apply, by request id.
func (n *Node) forward() {
	n.refuseForeign()
	for len(n.queue) > 0 {
		batch, places := n.nextBatch()
		if len(batch) > 0 {
			f := &peerpb.Forward{
				Epoch: n.self.Epoch, Counters: make([]uint64, len(batch)), Requests: make([][]byte, len(batch)),
			}
			for i, c := range batch {
				f.Counters[i], f.Requests[i] = c.ID.Counter, c.Request
			}
			n.send(n.leader, &peerpb.Message{Body: &peerpb.Message_Forward{Forward: f}})
		}
		n.dequeue(places)
	}
}

// forwarded takes commands from a follower, if this node leads and has room. A refusal promises that the command does
// nothing, so there is none for what may be a second copy of a command that was taken: it is dropped, and if it was the
// first its client hears at its deadline that nobody knows.
func (n *Node) forwarded(from uint64, f *peerpb.Forward) {
	leads := n.raw != nil && n.role == raft.StateLeader
	var orphans, overload, growth []apply.RequestID
	for i, request := range f.GetRequests() {
		id, newest := apply.RequestID{Member: from, Epoch: f.GetEpoch(), Counter: f.GetCounters()[i]}, n.taken[from]
		unknown := id.Epoch > newest.Epoch || id.Epoch == newest.Epoch && id.Counter > newest.Counter
		full := len(n.queue) >= n.cfg.MaxPending || n.qbytes+len(request) > n.cfg.MaxPendingBytes
		grows := !full && n.refusesGrowth(request)
		switch {
		case !leads:
			orphans = append(orphans, id)
		case full && unknown:
			overload = append(overload, id)
		case grows && unknown:
			growth = append(growth, id)
		case !full && !grows:
			if unknown {
				n.taken[from] = id
			}
			n.enqueue(queued{Command: apply.Command{ID: id, Request: request}})
		}
	}
	n.refuse(orphans, peerpb.ForwardRefused_NOT_LEADER)
	n.refuse(overload, peerpb.ForwardRefused_OVERLOADED)
	n.refuse(growth, peerpb.ForwardRefused_NO_SPACE)
}

// refuse tells the member whose commands these are that this node does not propose them.
func (n *Node) refuse(ids []apply.RequestID, why peerpb.ForwardRefused_Reason) {
	if len(ids) == 0 {
		return
	}
	r := &peerpb.ForwardRefused{Reason: why}
	for _, id := range ids {
		r.Ids = append(r.Ids, wireID(id))
	}
	n.send(ids[0].Member, &peerpb.Message{Body: &peerpb.Message_ForwardRefused{ForwardRefused: r}})
}

// refuseForeign sends back what peers forwarded and this node, no longer the leader, has not proposed.
func (n *Node) refuseForeign() {
	own := n.queue[:0]
	for _, q := range n.queue {
		if q.own != nil {
			own = append(own, q)
			continue
		}
		n.qbytes -= len(q.Request)
		n.refuse([]apply.RequestID{q.ID}, peerpb.ForwardRefused_NOT_LEADER)
	}
	clear(n.queue[len(own):])
	n.queue = own
}

// forwardRefused hears that commands were not proposed by the node they were sent to.
func (n *Node) forwardRefused(r *peerpb.ForwardRefused) {
	for _, id := range r.GetIds() {
		p := n.pending.byCounter[id.GetCounter()]
		if p == nil || requestID(id) != p.id || !p.sent {
			continue
		}
		if r.GetReason() == peerpb.ForwardRefused_NOT_LEADER {
			continue // it goes out again with the next leader that this node hears of (requeueSent)
		}
		n.stats.ProposalsFailed++
		switch {
		case p.again:
			// An earlier leader's log may hold it: a refusal would promise that it does nothing.
			n.pending.finish(p.id.Counter, apply.Response{}, ErrTimeoutLeaderLost)
		case r.GetReason() == peerpb.ForwardRefused_NO_SPACE:
			n.pending.finish(p.id.Counter, apply.Response{}, ErrNoSpace)
		default:
			n.pending.finish(p.id.Counter, apply.Response{}, ErrTooManyRequests)
		}
	}
}

// requeueSent puts what was sent, to an earlier leader or in vain, back in front of the queue, in its old order. What a log
// already holds is executed once all the same: the id decides.
func (n *Node) requeueSent() {
	var again []queued
	for _, p := range n.pending.order {
		if p.sent && !p.finished {
			p.sent, p.again = false, true
			n.qbytes += len(p.Request)
			again = append(again, queued{Command: apply.Command{ID: p.id, Request: p.Request}, own: p})
		}
	}
	n.queue = append(again, n.queue...)
}

// forwardLost lets commands go to the leader again after messages to it got lost: a forwarded one may have been among them,
// and nobody else would repeat it.
func (n *Node) forwardLost() {
	if n.lostToLeader && n.leader != 0 && n.role != raft.StateLeader {
		n.requeueSent()
	}
	n.lostToLeader = false
}

func wireID(id apply.RequestID) *peerpb.RequestID {
	return &peerpb.RequestID{Member: id.Member, Epoch: id.Epoch, Counter: id.Counter}
}

func requestID(id *peerpb.RequestID) apply.RequestID {
	return apply.RequestID{Member: id.GetMember(), Epoch: id.GetEpoch(), Counter: id.GetCounter()}
}
