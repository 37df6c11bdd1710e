package server

import (
	"cmp"
	"context"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// clusterServer is etcdserverpb.Cluster.
type clusterServer struct {
	*api
	pb.UnimplementedClusterServer
}

// MemberList names the members in the order of their ids. One that has never started has no name and no client URLs.
func (c *clusterServer) MemberList(ctx context.Context, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	v, err := c.view(ctx, !r.Linearizable)
	if err != nil {
		return nil, toStatus(err)
	}
	return &pb.MemberListResponse{Header: c.header.fill(nil), Members: wireMembers(v.Members)}, nil
}

func wireMembers(members []apply.Member) []*pb.Member {
	out := make([]*pb.Member, 0, len(members))
	for _, m := range members {
		out = append(out, &pb.Member{
			ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, IsLearner: m.Learner,
		})
	}
	slices.SortFunc(out, func(a, b *pb.Member) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
