package differential

import (
	"bytes"
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// Leases of a history never expire in it.
const (
	longTTL  = 1000 // seconds; all that are valid are longer
	maxTTL   = 9_000_000_000
	historyS = 600 // more than a history takes
)

// lease returns a request about a lease. There are few ids, so that they meet each other and the puts.
func (g *generator) lease() any {
	id := g.leaseID()
	switch n := g.rng.IntN(100); {
	case n < 35:
		ttl := longTTL + g.rng.Int64N(5000)
		if g.chance(10) {
			ttl = []int64{maxTTL, maxTTL + 1, 1 << 62}[g.rng.IntN(3)]
		}
		if g.chance(10) {
			id = 0
		}
		return &pb.LeaseGrantRequest{ID: id, TTL: ttl}
	case n < 50:
		return &pb.LeaseRevokeRequest{ID: id}
	case n < 75:
		return &pb.LeaseTimeToLiveRequest{ID: id, Keys: !g.chance(3)}
	case n < 90:
		return &pb.LeaseKeepAliveRequest{ID: id}
	default:
		return &pb.LeaseLeasesRequest{}
	}
}

// leaseID is one of those that leases are granted with; 0 is no lease.
func (g *generator) leaseID() int64 { return g.rng.Int64N(5) - 1 }

// revokeAll leaves a system without leases.
func revokeAll(s system) {
	leases, _ := s.ask(0, 0, &pb.LeaseLeasesRequest{}).message.(*pb.LeaseLeasesResponse)
	for _, l := range leases.GetLeases() {
		s.ask(0, 0, &pb.LeaseRevokeRequest{ID: l.ID})
	}
}

func skipShortLease(_ *state, request any) bool {
	r, ok := request.(*pb.LeaseGrantRequest)
	return ok && r.TTL < longTTL
}

func levelRemaining(_ any, response proto.Message) bool {
	r, ok := response.(*pb.LeaseTimeToLiveResponse)
	if !ok || r.TTL > r.GrantedTTL || r.TTL <= r.GrantedTTL-historyS {
		return false
	}
	r.TTL = r.GrantedTTL
	return true
}

func levelLeaseHeader(_ any, response proto.Message) bool {
	switch r := response.(type) {
	case *pb.LeaseTimeToLiveResponse:
		r.Header.Revision = 0
	case *pb.LeaseKeepAliveResponse:
		r.Header.Revision = 0
	default:
		return false
	}
	return true
}

func levelLeaseOrder(_ any, response proto.Message) bool {
	switch r := response.(type) {
	case *pb.LeaseTimeToLiveResponse:
		slices.SortFunc(r.Keys, bytes.Compare)
		return len(r.Keys) > 1
	case *pb.LeaseLeasesResponse:
		slices.SortFunc(r.Leases, func(a, b *pb.LeaseStatus) int { return cmp.Compare(a.ID, b.ID) })
		for _, l := range r.Leases {
			if l.ID > 1<<32 { // chosen by the server
				l.ID = 1 << 32
			}
		}
		return len(r.Leases) > 1
	default:
		return false
	}
}

func levelLeaseID(request any, response proto.Message) bool {
	r, ok := request.(*pb.LeaseGrantRequest)
	if !ok || r.ID != 0 || response.(*pb.LeaseGrantResponse).ID <= 0 {
		return false
	}
	response.(*pb.LeaseGrantResponse).ID = 1 << 32
	return true
}
