package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
)

// holders are clients that hold leases, each one at a time. They keep them alive through one node after the other, or do
// not; they put keys with them, take locks with them, and write under those locks. leasecheck.go says what must be true.
type holders struct {
	w      *world
	rng    *rand.Rand
	all    []*holder
	flying int
	next   int64 // id of the last lease
	writes int
	check  *leaseChecker
}

// holder is one client.
type holder struct {
	l     *holders
	name  string
	lease *heldLease // nil while it has none, as far as it knows
	// lock is the key that it holds as a lock, as far as it knows, and made the revision at which it took it: the token
	// that guards its writes. "" while it holds none.
	lock string
	made int64
}

func newHolders(w *world, rng *rand.Rand) *holders {
	l := &holders{w: w, rng: rng, check: newLeaseChecker(w)}
	for i := range w.opt.Holders {
		l.all = append(l.all, &holder{l: l, name: fmt.Sprintf("holder %d", i+1)})
	}
	return l
}

func (l *holders) start() {
	for _, h := range l.all {
		h.live()
	}
}

// live is what a client does every now and then. In the second phase everybody lets go of everything, without a word.
func (h *holder) live() {
	l := h.l
	l.w.queue.after(exponential(l.rng, 700*time.Millisecond), func() {
		if l.w.failure != "" || !l.w.faulty {
			return
		}
		if n := l.w.nodes[l.rng.IntN(len(l.w.nodes))]; n.raft != nil {
			h.act(n)
		}
		h.live()
	})
}

func (h *holder) act(n *node) {
	held := h.lease
	if held == nil {
		h.grant(n)
		return
	}
	switch d := h.l.rng.IntN(100); {
	case d < 45:
		h.renew(n, held)
	case d < 60:
		h.put(n, held)
	case d < 70:
		h.takeLock(n, held)
	case d < 85:
		h.guardedWrite(n)
	case d < 93:
		h.query(n, held)
	case d < 96:
		h.revoke(n, held)
	default:
		h.forget()
	}
}

// forget lets the lease run out.
func (h *holder) forget() { h.lease, h.lock = nil, "" }

// propose sends a write through a node. done does not run when the outcome stays unknown.
func (l *holders) propose(n *node, r *pb.InternalRaftRequest, done func(apply.Response, error)) {
	b, err := proto.Marshal(r)
	if err != nil {
		panic(err)
	}
	over := l.call()
	p := &raftnode.Proposal{Request: b, Done: func(r apply.Response, err error) {
		if over() {
			done(r, err)
		}
	}}
	n.guard(func() { n.raft.Propose(p) })
}

// call counts one call in flight. over reports whether its answer comes in time, and the first time that it comes.
func (l *holders) call() (over func() bool) {
	l.flying++
	ended := false
	over = func() bool {
		if ended {
			return false
		}
		ended = true
		l.flying--
		return true
	}
	l.w.queue.after(clientPatience, func() { over() })
	return over
}

func (h *holder) grant(n *node) {
	l := h.l
	l.next++
	r := &pb.LeaseGrantRequest{ID: l.next, TTL: 1 + l.rng.Int64N(8)}
	held := l.check.asked(r.ID, r.TTL)
	h.lease = held
	begin := l.w.queue.now
	l.propose(n, &pb.InternalRaftRequest{LeaseGrant: r}, func(_ apply.Response, err error) {
		if err == nil {
			l.w.count.LeasesGranted++
			l.check.confirmed(held, begin)
		} else if h.lease == held {
			h.forget()
		}
	})
}

func (h *holder) renew(n *node, held *heldLease) {
	l := h.l
	begin, granted, over := l.w.queue.now, held.granted, l.call()
	revision := int64(0)
	if n.view != nil {
		revision = n.view.KV.Revision()
	}
	n.guard(func() {
		n.raft.CallLease(&raftnode.LeaseCall{ID: held.id, Done: func(ttl int64, err error) {
			switch {
			case !over() || err != nil:
			case ttl == raftnode.NoLease:
				l.check.missing(held, granted, "a renewal")
				if h.lease == held {
					h.forget()
				}
			default:
				l.w.count.Renewals++
				l.check.renewed(held, begin, ttl, revision)
			}
		}})
	})
}

// elected lets everybody ask a new leader what remains of their leases, and again a moment later: before it can have asked
// the others, it must not say.
func (l *holders) elected(n *node) {
	for _, h := range l.all {
		for range electedQueries {
			life := n.life
			l.w.queue.after(exponential(l.rng, 200*time.Millisecond), func() {
				if h.lease != nil && n.life == life && n.raft != nil && l.w.faulty {
					h.query(n, h.lease)
				}
			})
		}
	}
}

const electedQueries = 3

func (h *holder) revoke(n *node, held *heldLease) {
	h.forget()
	held.revoking = true
	granted := held.granted
	h.l.propose(n, &pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: held.id}},
		func(_ apply.Response, err error) {
			if err == nil || err == apply.ErrLeaseNotFound {
				h.l.check.missing(held, granted, "a revocation")
			}
		})
}

func (h *holder) query(n *node, held *heldLease) {
	l := h.l
	sure, granted, over := held.sure, held.granted, l.call()
	n.guard(func() {
		n.raft.QueryLease(&raftnode.LeaseQuery{ID: held.id, Keys: true, Done: func(s raftnode.LeaseStatus, found bool, err error) {
			switch {
			case !over() || err != nil:
			case found:
				l.check.remains(held, sure, s)
			default:
				l.check.missing(held, granted, "a query")
			}
		}})
	})
}

// put writes a key with the lease. Three keys are common to all, so that they change leases.
func (h *holder) put(n *node, held *heldLease) {
	l := h.l
	key := fmt.Sprintf("l%d", l.rng.IntN(3+2*len(l.all)))
	op := h.operation(opAttach, key)
	put := &pb.PutRequest{Key: []byte(key), Value: []byte(op.value), Lease: held.id}
	h.write(n, op, &pb.InternalRaftRequest{Put: put}, held, func(*operation) {})
}

// takeLock makes the lock's key, with the lease, if nobody has it.
func (h *holder) takeLock(n *node, held *heldLease) {
	if h.lock != "" {
		return
	}
	lock := fmt.Sprintf("lock%d", h.l.rng.IntN(2))
	op := h.operation(opTake, lock)
	h.write(n, op, guarded(lock, 0, &pb.PutRequest{Key: []byte(lock), Value: []byte(op.value), Lease: held.id}), held, func(op *operation) {
		if op.swapped && h.lease == held {
			h.lock, h.made = lock, op.revision
		}
	})
}

// guardedWrite writes what the lock protects, if the lock is still the one that this client took.
func (h *holder) guardedWrite(n *node) {
	if h.lock == "" {
		return
	}
	op := h.operation(opGuarded, "of "+h.lock)
	op.lock, op.expected = h.lock, h.made
	h.write(n, op, guarded(h.lock, h.made, &pb.PutRequest{Key: []byte(op.key), Value: []byte(op.value)}), nil, func(op *operation) {
		h.l.w.count.GuardedWrites++
		if !op.swapped && h.lock == op.lock && h.made == op.expected {
			h.lock = "" // somebody else may have it
		}
	})
}

// guarded puts a pair if another key was made at a revision; 0: if it does not exist.
func guarded(key string, made int64, put *pb.PutRequest) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{Txn: &pb.TxnRequest{
		Compare: []*pb.Compare{{
			Key: []byte(key), Target: pb.Compare_CREATE, Result: pb.Compare_EQUAL,
			TargetUnion: &pb.Compare_CreateRevision{CreateRevision: made},
		}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}},
	}}
}

func (h *holder) operation(kind opKind, key string) *operation {
	h.l.writes++
	return &operation{kind: kind, key: key, value: fmt.Sprintf("h%d", h.l.writes)}
}

// write carries out an operation, maybe one that needs a lease, whose answer is held against the model like those of the
// workload.
func (h *holder) write(n *node, op *operation, r *pb.InternalRaftRequest, held *heldLease, then func(*operation)) {
	l := h.l
	granted := held != nil && held.granted
	op.begin = l.w.queue.now
	l.w.load.ops = append(l.w.load.ops, op)
	l.propose(n, r, func(resp apply.Response, err error) {
		op.end = l.w.queue.now
		switch {
		case err == nil:
			l.w.load.writeDone(op, resp, nil)
			then(op)
		case err == apply.ErrLeaseNotFound:
			l.check.missing(held, granted, "a put")
		}
	})
}
