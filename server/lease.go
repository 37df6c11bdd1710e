package server

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/raftnode"
)

// leaseServer is etcdserverpb.Lease. Grants and revocations go through the log, renewals and what remains of a lease come
// from the leader, whoever is asked.
type leaseServer struct {
	*api
	pb.UnsafeLeaseServer // a method missing here is a compile error
}

// LeaseGrant makes a lease. The least time to live, and the id when the client wants none of its own, are chosen here:
// what happens later on every member may depend on the request alone.
func (l *leaseServer) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	if err := checkGrant(r); err != nil {
		return nil, err
	}
	grant := &pb.LeaseGrantRequest{ID: r.ID, TTL: max(r.TTL, l.minLeaseTTL)}
	if grant.ID == 0 {
		grant.ID = 1 + rand.Int64N(math.MaxInt64)
	}
	resp, err := l.propose(ctx, &pb.InternalRaftRequest{LeaseGrant: grant}, &l.metrics.leaseGrant)
	if err != nil {
		return nil, toStatus(err)
	}
	resp.LeaseGrant.Header = l.header.fill(resp.LeaseGrant.Header)
	return resp.LeaseGrant, nil
}

func (l *leaseServer) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	resp, err := l.propose(ctx, &pb.InternalRaftRequest{LeaseRevoke: r}, &l.metrics.leaseRevoke)
	if err != nil {
		return nil, toStatus(err)
	}
	resp.LeaseRevoke.Header = l.header.fill(resp.LeaseRevoke.Header)
	return resp.LeaseRevoke, nil
}

// LeaseTimeToLive answers for a lease that does not exist too: with a time to live of -1.
func (l *leaseServer) LeaseTimeToLive(
	ctx context.Context, r *pb.LeaseTimeToLiveRequest,
) (*pb.LeaseTimeToLiveResponse, error) {
	s, found, err := l.node.QueryLease(ctx, r.ID, r.Keys)
	if err != nil {
		return nil, toStatus(err)
	}
	resp := &pb.LeaseTimeToLiveResponse{Header: l.header.fill(nil), ID: r.ID, TTL: -1}
	if found {
		resp.TTL, resp.GrantedTTL = int64(s.Remaining/time.Second), s.Granted
		for _, key := range s.Keys {
			resp.Keys = append(resp.Keys, []byte(key))
		}
	}
	return resp, nil
}

// LeaseLeases lists what this member knows, those that end first in front.
func (l *leaseServer) LeaseLeases(ctx context.Context, _ *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	if l.node.View() == nil {
		return nil, toStatus(raftnode.ErrNotReady)
	}
	list, err := l.node.Leases(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	slices.SortStableFunc(list, func(a, b raftnode.LeaseStatus) int { return cmp.Compare(a.Remaining, b.Remaining) })
	resp := &pb.LeaseLeasesResponse{Header: l.header.fill(nil), Leases: make([]*pb.LeaseStatus, len(list))}
	for i := range list {
		resp.Leases[i] = &pb.LeaseStatus{ID: list[i].ID}
	}
	return resp, nil
}

// minLeaseTTL is the shortest time to live in seconds: a lease must outlast an election, or nobody could keep it alive.
func minLeaseTTL(heartbeat, election time.Duration) int64 {
	ticks := election / heartbeat
	return max(1, int64(math.Ceil((3 * ticks / 2 * heartbeat).Seconds())))
}
