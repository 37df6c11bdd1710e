package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// sessionTTL is the life in seconds of a lease that nobody asked for. It is not kept alive.
const sessionTTL = 60

// errLostPlace: the key of a place in a queue is gone, or is another's now.
var errLostPlace = errors.New("place in the queue is lost")

// queues are what locks and elections are made of: a queue is the keys under a prefix, in the order of their creation,
// and the first one's owner holds the lock or leads. The layout is that of etcd's client library, so that clients who do
// it themselves stand in the same queues.
//
// A place in a queue is a key with its create revision and its lease. That all three still fit and that nobody stands
// before it is found out in one transaction, after each wait: between two requests a lease may end and its key be made
// again, behind others.
//
// Every call goes through the member's own services, with the caller's credentials. A queue holds no state.
type queues struct {
	kv      pb.KVClient
	leases  pb.LeaseClient
	watches pb.WatchClient
	// patience bounds what is done for the sake of order when the caller is gone already.
	patience time.Duration
}

func newQueues(conn grpc.ClientConnInterface, patience time.Duration) *queues {
	return &queues{
		kv: pb.NewKVClient(conn), leases: pb.NewLeaseClient(conn), watches: pb.NewWatchClient(conn), patience: patience,
	}
}

// passedOn are the metadata that a caller's own calls would carry.
var passedOn = []string{
	rpctypes.TokenFieldNameGRPC, rpctypes.TokenFieldNameSwagger, rpctypes.MetadataRequireLeaderKey,
	rpctypes.MetadataClientAPIVersionKey,
}

// onBehalf returns the context for calls that the caller of ctx causes.
func onBehalf(ctx context.Context) context.Context {
	md := metadata.MD{}
	for _, key := range passedOn {
		md.Append(key, metadata.ValueFromIncomingContext(ctx, key)...)
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// bare returns err as the caller gets to see it: a call that ends in it on the caller's behalf has a code, but etcd's
// library, which makes these calls there, keeps only the text.
func bare(err error) error {
	switch code := status.Code(err); code {
	case codes.OK, codes.Canceled, codes.DeadlineExceeded:
		return err
	}
	return status.Error(codes.Unknown, status.Convert(err).Message())
}

func queuePrefix(name []byte) []byte { return append(bytes.Clone(name), '/') }

// place is a position in a queue.
type place struct {
	prefix, key []byte
	revision    int64 // at which key was created
	lease       int64
	leaseIsOurs bool // nobody else knows it
	// joined is the header of the answer that gave the place.
	joined *pb.ResponseHeader
	// value is what key held if it was there before.
	value   []byte
	existed bool
	// first: nobody stood before it then.
	first bool
}

// join takes a place at the end of a queue, or finds the one that lease has. It asks to the end, even when the caller
// goes away meanwhile: whoever does not know whether there is a key could not give it up. When the answer never comes,
// the key stays until the lease ends.
func (q *queues) join(ctx context.Context, name []byte, lease int64, value []byte) (*place, error) {
	p := &place{prefix: queuePrefix(name), lease: lease}
	patient, cancel := q.patient(ctx)
	defer cancel()
	if lease == 0 {
		granted, err := q.leases.LeaseGrant(patient, &pb.LeaseGrantRequest{TTL: sessionTTL})
		if err != nil {
			return nil, err
		}
		p.lease, p.leaseIsOurs = granted.ID, true
	}
	p.key = fmt.Appendf(bytes.Clone(p.prefix), "%x", p.lease)
	resp, err := q.kv.Txn(patient, &pb.TxnRequest{
		Compare: []*pb.Compare{createdAt(p.key, 0)},
		Success: []*pb.RequestOp{putOp(&pb.PutRequest{Key: p.key, Value: value, Lease: p.lease}), rangeOp(oldest(p.prefix))},
		Failure: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: p.key}), rangeOp(oldest(p.prefix))},
	})
	if err != nil {
		if p.leaseIsOurs {
			q.leave(ctx, p)
		}
		return nil, err
	}
	p.joined, p.revision = resp.Header, resp.Header.Revision
	if !resp.Succeeded {
		kv := resp.Responses[0].GetResponseRange().Kvs[0]
		p.revision, p.value, p.existed = kv.CreateRevision, kv.Value, true
	}
	p.first = resp.Responses[1].GetResponseRange().Kvs[0].CreateRevision == p.revision
	if held := p.first && p.existed; ctx.Err() != nil && !held {
		q.leave(ctx, p)
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return p, nil
}

// patient returns a context that outlives the caller by a while.
func (q *queues) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), q.patience)
}

// await waits until nobody stands before p, and returns the header of the answer that says so.
func (q *queues) await(ctx context.Context, p *place) (*pb.ResponseHeader, error) {
	before := latestBefore(p.prefix, p.revision)
	for {
		resp, err := q.kv.Txn(ctx, &pb.TxnRequest{
			Compare: []*pb.Compare{createdAt(p.key, p.revision), leasedBy(p.key, p.lease)},
			Success: []*pb.RequestOp{rangeOp(before)},
		})
		if err != nil {
			return nil, err
		}
		if !resp.Succeeded {
			return nil, errLostPlace
		}
		kvs := resp.Responses[0].GetResponseRange().Kvs
		if len(kvs) == 0 {
			return resp.Header, nil
		}
		// Its own end is news, too: whoever lost their lease need not wait for the others.
		if err := q.awaitDelete(ctx, resp.Header.Revision, kvs[0].Key, p.key); err != nil {
			return nil, err
		}
	}
}

// awaitDelete returns when one of keys may have been deleted after revision.
func (q *queues) awaitDelete(ctx context.Context, revision int64, keys ...[]byte) error {
	var creates []*pb.WatchCreateRequest
	for _, key := range keys {
		creates = append(creates, &pb.WatchCreateRequest{
			Key: key, StartRevision: revision + 1, Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT},
		})
	}
	return q.watch(ctx, func(*pb.ResponseHeader, *mvccpb.Event) (done bool, err error) { return true, nil }, creates...)
}

// watch calls f for each event until f is done. It also returns, with nil, when what is to be watched has been compacted
// away; the caller then has to look anew.
func (q *queues) watch(
	ctx context.Context, f func(*pb.ResponseHeader, *mvccpb.Event) (done bool, err error), creates ...*pb.WatchCreateRequest,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := q.watches.Watch(ctx)
	if err != nil {
		return err
	}
	for _, c := range creates {
		// If this fails the stream is over, and Recv says why.
		_ = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: c}})
	}
	for {
		resp, err := stream.Recv()
		switch {
		case err != nil:
			return err
		case resp.CompactRevision != 0:
			return nil
		case resp.Canceled:
			return status.Error(codes.FailedPrecondition, resp.CancelReason)
		}
		for _, ev := range resp.Events {
			if done, err := f(resp.Header, ev); done || err != nil {
				return err
			}
		}
	}
}

// leave gives up a place whose owner does not want it any more, and may be gone.
func (q *queues) leave(ctx context.Context, p *place) {
	ctx, cancel := q.patient(ctx)
	defer cancel()
	if p.leaseIsOurs {
		_, _ = q.leases.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: p.lease}) // if it fails, the lease ends by itself
		return
	}
	_, _ = q.remove(ctx, p.key, p.revision) // if it fails, the key goes with the lease
}

// remove deletes the key of a place, if it is still that place's.
func (q *queues) remove(ctx context.Context, key []byte, revision int64) (*pb.TxnResponse, error) {
	return q.kv.Txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{createdAt(key, revision)},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: key}}}},
	})
}

// replace changes the value of a place's key, if it is still that place's. lease 0 leaves the lease as it is.
func (q *queues) replace(ctx context.Context, key, value []byte, revision, lease int64) (*pb.TxnResponse, error) {
	put := &pb.PutRequest{Key: key, Value: value, Lease: lease, IgnoreLease: lease == 0}
	return q.kv.Txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{createdAt(key, revision)}, Success: []*pb.RequestOp{putOp(put)},
	})
}

// oldest asks for the first in a queue.
func oldest(prefix []byte) *pb.RangeRequest {
	return &pb.RangeRequest{
		Key: prefix, RangeEnd: prefixEnd(prefix), Limit: 1,
		SortOrder: pb.RangeRequest_ASCEND, SortTarget: pb.RangeRequest_CREATE,
	}
}

// latestBefore asks for whoever stands right before the key created at revision.
func latestBefore(prefix []byte, revision int64) *pb.RangeRequest {
	return &pb.RangeRequest{
		Key: prefix, RangeEnd: prefixEnd(prefix), Limit: 1, MaxCreateRevision: revision - 1,
		SortOrder: pb.RangeRequest_DESCEND, SortTarget: pb.RangeRequest_CREATE,
	}
}

// prefixEnd returns the end of the range of all keys that begin with prefix, which ends in '/'.
func prefixEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	end[len(end)-1]++
	return end
}

func createdAt(key []byte, revision int64) *pb.Compare {
	return &pb.Compare{
		Key: key, Result: pb.Compare_EQUAL, Target: pb.Compare_CREATE,
		TargetUnion: &pb.Compare_CreateRevision{CreateRevision: revision},
	}
}

func leasedBy(key []byte, lease int64) *pb.Compare {
	return &pb.Compare{
		Key: key, Result: pb.Compare_EQUAL, Target: pb.Compare_LEASE, TargetUnion: &pb.Compare_Lease{Lease: lease},
	}
}

func putOp(r *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
}

func rangeOp(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}
