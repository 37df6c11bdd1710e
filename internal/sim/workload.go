package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// operation is one client call as its client saw it.
type operation struct {
	client     int
	kind       opKind
	key, value string
	begin, end time.Duration
	acked      bool
	err        error // of a write that was not
	revision   int64 // of the answer's header
	// read only
	found       bool
	modRevision int64
	swapped     bool   // swap only: the compare held
	expected    int64  // swap only: the mod revision compared with; of a guarded write, the lock's create revision
	lock        string // guarded write only: the key that guards it
	deleted     bool   // delete only: there was something to delete
	got         string
	puts        int    // many puts only: how many
	excused     bool   // the node that answered has diverged: what it read may be wrong
	pastKey     string // txn at a past revision only: what it reads, and when
	past        int64
}

type opKind string

const (
	opPut     opKind = "put"
	opUnique  opKind = "unique put" // to a key that is never written again: its version must stay 1
	opDelete  opKind = "delete"
	opSwap    opKind = "swap" // put if the key is unchanged since it was read
	opCompact opKind = "compact"
	opGet     opKind = "get"
	opAttach  opKind = "put with lease"
	opPast    opKind = "put with a read of the past" // unless that is compacted, or yet to come
	opTake    opKind = "lock"                        // put if the key does not exist
	opMany    opKind = "many puts"                   // in one transaction, to keys that are never written again: the first is the operation's
	opGuarded opKind = "guarded write"               // put if the lock is the one that the client took
)

// clientPatience is when a client stops waiting; the outcome is unknown from then on.
const clientPatience = 10 * time.Second

// workload is a set of clients, each with a few operations in flight, each operation on a random node.
type workload struct {
	w        *world
	rng      *rand.Rand
	ops      []*operation
	next     int
	flying   int
	finished bool
	lastSeen map[string]int64 // mod revision of a key as last read by anyone
}

func newWorkload(w *world, rng *rand.Rand) *workload {
	return &workload{w: w, rng: rng, lastSeen: map[string]int64{}}
}

func (l *workload) start() {
	for c := range l.w.opt.Clients {
		for range l.w.opt.OperationsInFlight {
			l.think(c)
		}
	}
}

// finish lets the operations in flight end and starts no others.
func (l *workload) finish() { l.finished = true }

func (l *workload) think(client int) {
	pause := exponential(l.rng, l.w.opt.ThinkMean)
	l.w.queue.after(pause, func() {
		if !l.finished {
			l.call(client)
		}
	})
}

func (l *workload) call(client int) {
	n := l.w.nodes[l.rng.IntN(len(l.w.nodes))]
	if l.rng.IntN(8) == 0 {
		l.readPast(n)
	}
	op := l.draw(client)
	if n.raft == nil {
		l.think(client) // connection refused: the request was never sent
		return
	}
	l.send(n, op, func() {
		if !l.finished {
			l.think(client)
		}
	})
}

// send carries out one operation on a node that is up, and then calls then.
func (l *workload) send(n *node, op *operation, then func()) {
	op.begin = l.w.queue.now
	l.ops = append(l.ops, op)
	l.flying++
	over := false
	done := func(f func()) {
		if over {
			return
		}
		over = true
		l.flying--
		op.end = l.w.queue.now
		f()
		then()
	}
	l.w.queue.after(clientPatience, func() {
		done(func() { l.w.count.UnknownOutcomes++ })
	})
	if op.kind == opGet {
		r := &raftnode.Read{Done: func(v *apply.View, err error) {
			if err != nil {
				done(func() { l.w.count.UnknownOutcomes++ })
				return
			}
			l.readFrom(n, op, v, done)
		}}
		n.guard(func() { n.raft.ReadIndex(r) })
		return
	}
	b, err := proto.Marshal(l.request(op))
	if err != nil {
		panic(err)
	}
	p := &raftnode.Proposal{Request: b, Done: func(r apply.Response, err error) {
		done(func() {
			op.excused = n.twist.index > 0
			l.writeDone(op, r, err)
		})
	}}
	n.guard(func() { n.raft.Propose(p) })
}

func (l *workload) draw(client int) *operation {
	l.next++
	op := &operation{client: client, key: fmt.Sprintf("k%d", l.rng.IntN(l.w.opt.Keys)), value: fmt.Sprintf("v%d", l.next)}
	switch d := l.rng.IntN(100); {
	case d < 35:
		op.kind = opPut
	case d < 50:
		op.kind, op.key = opUnique, fmt.Sprintf("u%d", l.next)
	case d < 55:
		op.kind = opDelete
	case d < 65:
		op.kind = opSwap
	case d < 66:
		op.kind = opCompact
	case d < 70:
		op.kind = opPast
	default:
		op.kind = opGet
	}
	return op
}

func (l *workload) request(op *operation) *pb.InternalRaftRequest {
	put := &pb.PutRequest{Key: []byte(op.key), Value: []byte(op.value)}
	switch op.kind {
	case opDelete:
		return &pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte(op.key)}}
	case opMany:
		txn := &pb.TxnRequest{}
		for i := range op.puts {
			one := &pb.PutRequest{Key: []byte(manyKey(op.key, i)), Value: put.Value}
			txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: one}})
		}
		return &pb.InternalRaftRequest{Txn: txn}
	case opPast:
		return l.pastTxn(op)
	case opCompact:
		return &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: max(1, l.w.check.newest-compactBehind)}}
	case opSwap:
		op.expected = l.lastSeen[op.key]
		return &pb.InternalRaftRequest{Txn: &pb.TxnRequest{
			Compare: []*pb.Compare{{
				Key: []byte(op.key), Target: pb.Compare_MOD, Result: pb.Compare_EQUAL,
				TargetUnion: &pb.Compare_ModRevision{ModRevision: op.expected},
			}},
			Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: put}}},
			Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: put.Key}}}},
		}}
	}
	return &pb.InternalRaftRequest{Put: put}
}

// manyKey is the i-th key of many, given the first, which ends in 0.
func manyKey(first string, i int) string { return fmt.Sprintf("%s%d", first[:len(first)-1], i) }

// compactBehind is how many revisions clients leave when they compact.
const compactBehind = 50

func (l *workload) writeDone(op *operation, r apply.Response, err error) {
	if err != nil {
		op.err = err
		l.w.count.FailedWrites++
		if errors.Is(err, raftnode.ErrNoSpace) {
			l.w.count.RefusedForSpace++
		}
		return
	}
	op.acked, op.revision = true, r.Revision
	op.swapped, op.deleted = r.Txn.GetSucceeded(), r.DeleteRange.GetDeleted() > 0
	if op.kind == opPast {
		op.pastSeen(r)
	}
	l.w.count.AckedWrites++
	l.w.check.wrote(op, r)
}

// readFrom reads as the server does: a view that was overtaken is exchanged for the newest.
func (l *workload) readFrom(n *node, op *operation, v *apply.View, done func(func())) {
	if n.diverged(v.Index) { // nobody can know yet
		done(func() { l.w.count.UnknownOutcomes++ })
		return
	}
	res, err := v.KV.Range([]byte(op.key), nil, mvcc.RangeOptions{})
	if errors.Is(err, mvcc.ErrStaleView) {
		l.w.queue.after(time.Millisecond, n.living(n.life, func() {
			if n.view == nil { // its state was found damaged meanwhile
				done(func() { l.w.count.UnknownOutcomes++ })
				return
			}
			l.readFrom(n, op, n.view, done)
		}))
		return
	}
	if n.foundDamage(err) {
		done(func() { l.w.count.UnknownOutcomes++ })
		return
	}
	if err != nil {
		l.w.violation("read of %s at revision %d: %v", op.key, v.KV.Revision(), err)
		return
	}
	done(func() { l.readDone(op, res, v.KV.Revision()) })
}

func (l *workload) readDone(op *operation, res mvcc.RangeResult, revision int64) {
	op.acked, op.revision = true, revision
	if len(res.KVs) == 1 {
		op.found, op.modRevision, op.got = true, res.KVs[0].ModRevision, string(res.KVs[0].Value)
	}
	l.lastSeen[op.key] = op.modRevision
	l.w.count.AckedReads++
	l.w.check.read(op)
}

// attempt carries out one operation on a node, outside of what clients do.
func (l *workload) attempt(n *node, kind opKind) *operation {
	l.next++
	op := &operation{kind: kind, key: fmt.Sprintf("u%d", l.next), value: fmt.Sprintf("v%d", l.next)}
	if kind != opUnique {
		op.key = "k0"
	}
	l.send(n, op, func() {})
	return op
}

// probe puts one more value through a random node of those given that is up; nil if none is.
func (l *workload) probe(among []*node) *operation {
	up := slices.DeleteFunc(slices.Clone(among), func(n *node) bool { return n.raft == nil })
	if len(up) == 0 {
		return nil
	}
	return l.attempt(up[l.rng.IntN(len(up))], opUnique)
}
