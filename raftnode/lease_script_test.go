package raftnode_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/datadriven"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/raftnode"
)

// lease runs the commands about leases.
func (s *script) lease(t *testing.T, d *datadriven.TestData) {
	n := s.up(t, d)
	if d.Cmd == "leases" {
		n.leases()
		return
	}
	id := int64(atoi(t, d, d.CmdArgs[1].Key))
	switch d.Cmd {
	case "grant":
		ttl := int64(number(t, d, "ttl", 10))
		n.propose(fmt.Sprintf("grant %d", id), leaseRequest(&pb.InternalRaftRequest{
			LeaseGrant: &pb.LeaseGrantRequest{ID: id, TTL: ttl},
		}))
	case "revoke":
		n.propose(fmt.Sprintf("revoke %d", id), leaseRequest(&pb.InternalRaftRequest{
			LeaseRevoke: &pb.LeaseRevokeRequest{ID: id},
		}))
	case "attach":
		for _, a := range d.CmdArgs[2:] {
			n.propose("put "+a.Key, leaseRequest(&pb.InternalRaftRequest{
				Put: &pb.PutRequest{Key: []byte(a.Key), Lease: id},
			}))
		}
	case "renew":
		for _, a := range d.CmdArgs[1:] {
			n.renew(int64(atoi(t, d, a.Key)))
		}
	case "remaining":
		n.guard(func() {
			n.raft.QueryLease(&raftnode.LeaseQuery{ID: id, Keys: true, Done: func(st raftnode.LeaseStatus, found bool, err error) {
				switch {
				case err != nil:
					n.say("remaining %d: %v", id, err)
				case !found:
					n.say("remaining %d: no such lease", id)
				default:
					n.say("remaining %d: %v of %d s, keys %q", id, st.Remaining, st.Granted, st.Keys)
				}
			}})
		})
	}
}

// renew sends a keep-alive through a node and tells of its answer.
func (n *node) renew(id int64) {
	n.guard(func() {
		n.raft.CallLease(&raftnode.LeaseCall{ID: id, Done: func(ttl int64, err error) {
			switch {
			case err != nil:
				n.say("renew %d: %v", id, err)
			case ttl == raftnode.NoLease:
				n.say("renew %d: no such lease", id)
			default:
				n.say("renew %d: %d s", id, ttl)
			}
		}})
	})
}

func (n *node) leases() {
	for _, l := range n.raft.Leases() {
		n.say("lease %d: %v of %d s", l.ID, l.Remaining, l.Granted)
	}
}

func leaseRequest(r *pb.InternalRaftRequest) []byte {
	b, err := proto.Marshal(r)
	if err != nil {
		panic(err)
	}
	return b
}
