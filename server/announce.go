package server

import (
	"context"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// announce tells the cluster this member's name and client addresses, where that is news, and closes ready. A
// linearizable read comes first: it proves that the member is part of a working quorum and has caught up.
func (s *Server) announce(ctx context.Context) {
	for ctx.Err() == nil {
		v, err := s.member.Read(ctx)
		if err == nil && s.known(v) {
			close(s.ready)
			return
		}
		if err == nil {
			_, err = s.member.Propose(ctx, &pb.InternalRaftRequest{
				ClusterMemberAttrSet: &membershippb.ClusterMemberAttrSetRequest{
					Member_ID: s.self,
					MemberAttributes: &membershippb.Attributes{
						Name: s.attributes.Name, ClientUrls: s.attributes.ClientURLs,
					},
				},
			})
		}
		if err != nil && ctx.Err() == nil {
			// Every attempt takes up to the request timeout, so this is no busy loop.
			s.logger.Warn("not part of a working quorum yet", "reason", err)
		}
	}
}

func (s *Server) known(v *apply.View) bool {
	i := slices.IndexFunc(v.Members, func(m apply.Member) bool { return m.ID == s.self })
	return i >= 0 && v.Members[i].Name == s.attributes.Name && slices.Equal(v.Members[i].ClientURLs, s.attributes.ClientURLs)
}
