package server

import (
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/server/v3lockpb"
)

// errSessionExpired has the text of etcd's client library, and no code, as in etcd.
var errSessionExpired = status.Error(codes.Unknown, "mutex: session is expired")

// lockServer is v3lockpb.Lock: a lock is a queue, and its first place holds it.
type lockServer struct {
	queues *queues
	v3lockpb.UnsafeLockServer
}

// Lock waits for its turn. When it gives up, for whatever reason, so does its place. At the answer's revision the key
// was there and first, and its lease alive; whether they still are is for the caller's own transactions to compare.
func (l *lockServer) Lock(ctx context.Context, r *v3lockpb.LockRequest) (*v3lockpb.LockResponse, error) {
	ctx = onBehalf(ctx)
	p, err := l.queues.join(ctx, r.Name, r.Lease, nil)
	if err != nil {
		return nil, bare(err)
	}
	header := p.joined
	if !p.first {
		header, err = l.queues.await(ctx, p)
	}
	if err != nil {
		l.queues.leave(ctx, p)
		if errors.Is(err, errLostPlace) {
			err = errSessionExpired
		}
		return nil, bare(err)
	}
	return &v3lockpb.LockResponse{Header: header, Key: p.key}, nil
}

// Unlock deletes the key, whoever it belongs to.
func (l *lockServer) Unlock(ctx context.Context, r *v3lockpb.UnlockRequest) (*v3lockpb.UnlockResponse, error) {
	resp, err := l.queues.kv.DeleteRange(onBehalf(ctx), &pb.DeleteRangeRequest{Key: r.Key})
	if err != nil {
		return nil, bare(err)
	}
	return &v3lockpb.UnlockResponse{Header: resp.Header}, nil
}
