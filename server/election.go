package server

import (
	"bytes"
	"context"
	"errors"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/server/v3electionpb"
)

// The texts are those of etcd and its client library; etcd gives them no code.
var (
	errMissingLeader = status.Error(codes.Unknown, `"leader" field must be provided`)
	errNotLeader     = status.Error(codes.Unknown, "election: not leader")
	errNoLeader      = status.Error(codes.Unknown, "election: no leader")
)

// electionServer is v3electionpb.Election: candidates stand in a queue, and its first place leads.
type electionServer struct {
	queues *queues
	v3electionpb.UnsafeElectionServer
}

// Campaign waits until the caller leads. When it gives up, for whatever reason, the candidacy ends.
func (e *electionServer) Campaign(
	ctx context.Context, r *v3electionpb.CampaignRequest,
) (*v3electionpb.CampaignResponse, error) {
	ctx = onBehalf(ctx)
	p, err := e.queues.join(ctx, r.Name, r.Lease, r.Value)
	if err != nil {
		return nil, bare(err)
	}
	if err := e.win(ctx, p, r.Value); err != nil {
		e.queues.leave(ctx, p)
		if errors.Is(err, errLostPlace) {
			err = errNotLeader
		}
		return nil, bare(err)
	}
	leader := &v3electionpb.LeaderKey{Name: r.Name, Key: p.key, Rev: p.revision, Lease: p.lease}
	return &v3electionpb.CampaignResponse{Header: p.joined, Leader: leader}, nil
}

func (e *electionServer) win(ctx context.Context, p *place, value []byte) error {
	if p.existed && !bytes.Equal(p.value, value) {
		resp, err := e.queues.replace(ctx, p.key, value, p.revision, p.lease)
		if err != nil {
			return err
		}
		if !resp.Succeeded {
			return errLostPlace
		}
	}
	if p.first {
		return nil
	}
	_, err := e.queues.await(ctx, p)
	return err
}

func (e *electionServer) Proclaim(
	ctx context.Context, r *v3electionpb.ProclaimRequest,
) (*v3electionpb.ProclaimResponse, error) {
	l := r.Leader
	if l == nil {
		return nil, errMissingLeader
	}
	resp, err := e.queues.replace(onBehalf(ctx), l.Key, r.Value, l.Rev, l.Lease)
	if err != nil {
		return nil, bare(err)
	}
	if !resp.Succeeded {
		return nil, errNotLeader
	}
	return &v3electionpb.ProclaimResponse{Header: resp.Header}, nil
}

// Resign says nothing about whether there was something to resign from.
func (e *electionServer) Resign(
	ctx context.Context, r *v3electionpb.ResignRequest,
) (*v3electionpb.ResignResponse, error) {
	if r.Leader == nil {
		return nil, errMissingLeader
	}
	resp, err := e.queues.remove(onBehalf(ctx), r.Leader.Key, r.Leader.Rev)
	if err != nil {
		return nil, bare(err)
	}
	return &v3electionpb.ResignResponse{Header: resp.Header}, nil
}

func (e *electionServer) Leader(
	ctx context.Context, r *v3electionpb.LeaderRequest,
) (*v3electionpb.LeaderResponse, error) {
	resp, err := e.queues.kv.Range(onBehalf(ctx), oldest(queuePrefix(r.Name)))
	if err != nil {
		return nil, bare(err)
	}
	if len(resp.Kvs) == 0 {
		return nil, errNoLeader
	}
	return &v3electionpb.LeaderResponse{Header: resp.Header, Kv: resp.Kvs[0]}, nil
}

// Observe sends what the leader says, and the next leader after it, until the caller goes away.
func (e *electionServer) Observe(r *v3electionpb.LeaderRequest, stream v3electionpb.Election_ObserveServer) error {
	ctx := onBehalf(stream.Context())
	prefix := queuePrefix(r.Name)
	for {
		leader, err := e.firstLeader(ctx, prefix)
		if err != nil {
			return bare(err)
		}
		if leader == nil {
			continue // compacted away before it was seen
		}
		if err := stream.Send(leader); err != nil {
			return err
		}
		if err := e.follow(ctx, leader, stream); err != nil {
			return bare(err)
		}
	}
}

// firstLeader returns the current leader, or waits for one. It may return nil; the caller then asks again.
func (e *electionServer) firstLeader(ctx context.Context, prefix []byte) (*v3electionpb.LeaderResponse, error) {
	now, err := e.queues.kv.Range(ctx, oldest(prefix))
	if err != nil {
		return nil, err
	}
	if len(now.Kvs) > 0 {
		return &v3electionpb.LeaderResponse{Header: now.Header, Kv: now.Kvs[0]}, nil
	}
	var leader *v3electionpb.LeaderResponse
	err = e.queues.watch(ctx, func(h *pb.ResponseHeader, ev *mvccpb.Event) (done bool, err error) {
		h.Revision = ev.Kv.ModRevision // one response may bring several
		leader = &v3electionpb.LeaderResponse{Header: h, Kv: ev.Kv}
		return true, nil
	}, &pb.WatchCreateRequest{
		Key: prefix, RangeEnd: prefixEnd(prefix), StartRevision: now.Header.Revision + 1,
		Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NODELETE},
	})
	return leader, err
}

// follow sends what leader says from now on, and returns when it is leader no more.
func (e *electionServer) follow(
	ctx context.Context, leader *v3electionpb.LeaderResponse, stream v3electionpb.Election_ObserveServer,
) error {
	return e.queues.watch(ctx, func(h *pb.ResponseHeader, ev *mvccpb.Event) (done bool, err error) {
		if ev.Type == mvccpb.Event_DELETE {
			return true, nil
		}
		return false, stream.Send(&v3electionpb.LeaderResponse{Header: h, Kv: ev.Kv})
	}, &pb.WatchCreateRequest{Key: leader.Kv.Key, StartRevision: leader.Header.Revision + 1})
}
