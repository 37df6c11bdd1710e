package server

import (
	"context"
	"fmt"
	"sync/atomic"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
)

// member makes blocking calls of the node's callbacks: it is the only way from a handler's goroutine to the loop. A
// call posts one function and waits for one answer.
type member struct {
	raft *raftnode.Node
	post func(func())
	// stopped is closed when the loop runs no more functions.
	stopped chan struct{}
	limits  Limits

	published atomic.Pointer[publication]
	// ready is closed when the first view was published; served says so to the loop.
	ready  chan struct{}
	served bool
}

// publication is what the loop last published; its parts belong together.
type publication struct {
	status raftnode.Status
	view   *apply.View
}

var _ node = (*member)(nil)

func newMember(post func(func()), limits Limits) *member {
	m := &member{post: post, stopped: make(chan struct{}), limits: limits, ready: make(chan struct{})}
	m.published.Store(&publication{})
	return m
}

// publish is the node's Publish callback; it runs on the loop.
func (m *member) publish(s raftnode.Status, v *apply.View) {
	m.published.Store(&publication{status: s, view: v})
	if v != nil && !m.served {
		m.served = true
		close(m.ready)
	}
}

func (m *member) Status() raftnode.Status { return m.published.Load().status }
func (m *member) View() *apply.View       { return m.published.Load().view }

// Sizes returns the bytes that the state file takes and how many of them hold data.
func (m *member) Sizes() (total, inUse int64) {
	s := m.Status()
	return s.FileBytes, s.FileBytesInUse
}

// result is one answer from the loop.
type result[T any] struct {
	value T
	err   error
}

func (m *member) Propose(ctx context.Context, r *pb.InternalRaftRequest) (apply.Response, error) {
	if err := m.checkQuota(r); err != nil {
		return apply.Response{}, err
	}
	request, err := encodeRequest(r)
	if err != nil {
		return apply.Response{}, fmt.Errorf("encode request: %w", err)
	}
	if len(request) > m.limits.RequestBytes {
		return apply.Response{}, raftnode.ErrTooLarge
	}
	answer := make(chan result[apply.Response], 1)
	p := &raftnode.Proposal{Request: request, Done: func(r apply.Response, err error) {
		answer <- result[apply.Response]{r, err}
	}}
	m.post(func() { m.raft.Propose(p) })
	got, err := await(ctx, m, answer, func() { m.raft.Cancel(p) })
	if r.GetCompaction().GetPhysical() && err == nil {
		err = m.awaitCompaction(ctx)
	}
	return got, err
}

// encodeRequest encodes a request of one kind.
func encodeRequest(r *pb.InternalRaftRequest) ([]byte, error) {
	if r.Put != nil {
		return apply.EncodePut(r.Put)
	}
	return proto.Marshal(r)
}

func (m *member) Read(ctx context.Context) (*apply.View, error) {
	answer := make(chan result[*apply.View], 1)
	r := &raftnode.Read{Done: func(v *apply.View, err error) { answer <- result[*apply.View]{v, err} }}
	m.post(func() { m.raft.ReadIndex(r) })
	return await(ctx, m, answer, func() { m.raft.CancelRead(r) })
}

func (m *member) Watch(ctx context.Context) (*watchFeed, error) {
	select {
	case <-m.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-m.stopped:
		return nil, raftnode.ErrStopped
	}
	return openWatchFeed(ctx, m.post, m.stopped, m.raft.Watch)
}

func (m *member) RenewLease(id int64, done func(ttl int64, err error)) {
	c := &raftnode.LeaseCall{ID: id, Done: done}
	m.post(func() { m.raft.CallLease(c) })
}

func (m *member) QueryLease(ctx context.Context, id int64, keys bool) (raftnode.LeaseStatus, bool, error) {
	type status struct {
		raftnode.LeaseStatus
		found bool
	}
	answer := make(chan result[status], 1)
	q := &raftnode.LeaseQuery{ID: id, Keys: keys, Done: func(s raftnode.LeaseStatus, found bool, err error) {
		answer <- result[status]{status{s, found}, err}
	}}
	m.post(func() { m.raft.QueryLease(q) })
	got, err := await(ctx, m, answer, func() {})
	return got.LeaseStatus, got.found, err
}

func (m *member) Leases(ctx context.Context) ([]raftnode.LeaseStatus, error) {
	answer := make(chan result[[]raftnode.LeaseStatus], 1)
	m.post(func() { answer <- result[[]raftnode.LeaseStatus]{value: m.raft.Leases()} })
	return await(ctx, m, answer, func() {})
}

func (m *member) Damaged(err error) { m.post(func() { m.raft.StateDamaged(err) }) }

func (m *member) awaitCompaction(ctx context.Context) error {
	answer := make(chan result[struct{}], 1)
	m.post(func() { m.raft.AwaitCompaction(func() { answer <- result[struct{}]{} }) })
	_, err := await(ctx, m, answer, func() {})
	return err
}

func (m *member) TransferLeadership(ctx context.Context, target uint64) error {
	answer := make(chan result[struct{}], 1)
	m.post(func() { m.raft.TransferLeadership(target, func(err error) { answer <- result[struct{}]{err: err} }) })
	_, err := await(ctx, m, answer, func() {})
	return err
}

// await waits for the loop's answer. A caller that goes away first withdraws its request.
func await[T any](ctx context.Context, m *member, answer <-chan result[T], withdraw func()) (none T, err error) {
	select {
	case r := <-answer:
		return r.value, r.err
	case <-ctx.Done():
		m.post(withdraw)
		return none, ctx.Err()
	case <-m.stopped:
		return none, raftnode.ErrStopped
	}
}

// A put costs what it stores and an allowance for its index entry, a lease an allowance, as etcd estimates them.
const (
	putOverheadBytes = 256
	leaseCostBytes   = 64
)

// checkQuota refuses, before it is proposed, what would make a full store grow. Everything that frees space is let
// through. The size is that of the live data, which is the same on every member, not that of this member's file.
func (m *member) checkQuota(r *pb.InternalRaftRequest) error {
	quota := m.limits.QuotaBytes
	v := m.View()
	if quota <= 0 || v == nil {
		return nil
	}
	cost := int64(0)
	if p := r.GetPut(); p != nil {
		cost = putCost(p)
	} else if t := r.GetTxn(); t != nil {
		cost = max(opsCost(t.GetSuccess()), opsCost(t.GetFailure()))
	} else if r.GetLeaseGrant() != nil {
		cost = leaseCostBytes
	}
	if cost > 0 && v.KV.LiveBytes()+cost > quota {
		return raftnode.ErrNoSpace
	}
	return nil
}

func putCost(p *pb.PutRequest) int64 {
	return int64(len(p.GetKey()) + len(p.GetValue()) + putOverheadBytes)
}

func opsCost(ops []*pb.RequestOp) int64 {
	cost := int64(0)
	for _, op := range ops {
		if p := op.GetRequestPut(); p != nil {
			cost += putCost(p)
		} else if t := op.GetRequestTxn(); t != nil {
			cost += max(opsCost(t.GetSuccess()), opsCost(t.GetFailure()))
		}
	}
	return cost
}
