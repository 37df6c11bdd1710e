package server

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// kvServer is etcdserverpb.KV: it checks the form of a request, sends writes through the log and reads to a view, and
// completes the answer's header. It holds no state, and starts nothing that outlives a call.
type kvServer struct {
	*api
	pb.UnsafeKVServer // a method missing here is a compile error
}

func (k *kvServer) Put(ctx context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	if err := checkPut(r); err != nil {
		return nil, err
	}
	resp, err := k.propose(ctx, &pb.InternalRaftRequest{Put: r}, &k.metrics.put)
	if err != nil {
		return nil, toStatus(err)
	}
	resp.Put.Header = k.header.fill(resp.Put.Header)
	return resp.Put, nil
}

func (k *kvServer) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	if err := checkDelete(r); err != nil {
		return nil, err
	}
	resp, err := k.propose(ctx, &pb.InternalRaftRequest{DeleteRange: r}, &k.metrics.deleteRange)
	if err != nil {
		return nil, toStatus(err)
	}
	resp.DeleteRange.Header = k.header.fill(resp.DeleteRange.Header)
	return resp.DeleteRange, nil
}

// Txn sends a transaction that may write through the log, whatever its compares will say. One that only reads is
// answered from a view, like a Range.
func (k *kvServer) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if err := checkTxn(r, k.limits.TxnOps); err != nil {
		return nil, err
	}
	resp, err := k.txn(ctx, r)
	if err != nil {
		return nil, toStatus(err)
	}
	resp.Header = k.header.fill(resp.Header)
	return resp, nil
}

func (k *kvServer) txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if !apply.TxnIsReadOnly(r) {
		resp, err := k.propose(ctx, &pb.InternalRaftRequest{Txn: r}, &k.metrics.txn)
		return resp.Txn, err
	}
	return readView(ctx, k.api, apply.TxnIsSerializable(r), &k.metrics.readOnlyTxn,
		func(v *apply.View) (*pb.TxnResponse, error) { return apply.Txn(v.KV, r) })
}

func (k *kvServer) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if err := checkRange(r); err != nil {
		return nil, err
	}
	resp, err := readView(ctx, k.api, r.Serializable, &k.metrics.rangeRequest,
		func(v *apply.View) (*pb.RangeResponse, error) { return apply.Range(v.KV, r) })
	if err != nil {
		return nil, toStatus(err)
	}
	resp.Header = k.header.fill(resp.Header)
	return resp, nil
}

// Compact returns once the history is out of reach for clients. With r.Physical it also waits until this member, and no
// other, has deleted it.
func (k *kvServer) Compact(ctx context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	resp, err := k.propose(ctx, &pb.InternalRaftRequest{Compaction: r}, &k.metrics.compaction)
	if err != nil {
		return nil, toStatus(err)
	}
	resp.Compaction.Header = k.header.fill(resp.Compaction.Header)
	return resp.Compaction, nil
}

// propose sends a write through the log. The time it may take is the node's business: no timer is started here.
func (a *api) propose(ctx context.Context, r *pb.InternalRaftRequest, m *requestMetrics) (apply.Response, error) {
	start := time.Now()
	resp, err := a.node.Propose(ctx, r)
	m.observe(start, err)
	return resp, err
}

// readView answers a read from a linearizable view, or from the local one. A view that has been overtaken by physical
// compaction is exchanged for the newest, which holds at least as much.
func readView[T any](
	ctx context.Context, a *api, serializable bool, m *requestMetrics, read func(*apply.View) (T, error),
) (resp T, err error) {
	start := time.Now()
	defer func() { m.observe(start, err) }()
	v, err := a.view(ctx, serializable)
	for err == nil {
		resp, err = read(v)
		if !errors.Is(err, mvcc.ErrStaleView) {
			return resp, a.reportDamage(err)
		}
		v, err = a.view(ctx, true)
	}
	return resp, err
}

// view returns what a read may use.
func (a *api) view(ctx context.Context, serializable bool) (*apply.View, error) {
	if !serializable {
		v, err := a.node.Read(ctx)
		if err != nil && ctx.Err() == nil {
			a.metrics.readsFailed.Inc()
		}
		return v, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v := a.node.View()
	if v == nil {
		return nil, raftnode.ErrNotReady
	}
	return v, nil
}
