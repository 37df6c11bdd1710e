package apply

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/storage/lease"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// LeaseChange is a lease that began or ended to exist.
type LeaseChange struct {
	// Index is that of the entry which did it.
	Index uint64
	lease.Lease
	Revoked bool
}

// Leases lists the leases in order of ids.
func (m *Machine) Leases() []lease.Lease { return m.leases.All() }

// LeaseKeys lists the keys of a lease in order. ok is false when there is no such lease.
func (m *Machine) LeaseKeys(id int64) (keys []string, ok bool) { return m.leases.Keys(id) }

// leaseGrant makes a lease. Whoever proposed it has chosen its id and raised the time to live to the least that his
// configuration allows.
func (m *Machine) leaseGrant(req *pb.LeaseGrantRequest, want bool) (Response, error) {
	l := lease.Lease{ID: req.GetID(), TTL: req.GetTTL()}
	switch {
	case l.ID == 0, l.TTL <= 0, l.TTL > lease.MaxTTL:
		return Response{}, ErrMalformedRequest
	case m.leases.Has(l.ID):
		return Response{}, ErrLeaseExists
	}
	m.leases.Grant(l)
	m.history.grant(l)
	m.leaseChanges = append(m.leaseChanges, LeaseChange{Index: m.index + 1, Lease: l})
	resp := Response{Revision: m.kv.Revision()}
	if want {
		resp.LeaseGrant = &pb.LeaseGrantResponse{
			Header: &pb.ResponseHeader{Revision: resp.Revision}, ID: l.ID, TTL: l.TTL,
		}
	}
	return resp, nil
}

// leaseRevoke ends a lease and deletes its keys, in their order and all in one revision. Without keys there is none.
func (m *Machine) leaseRevoke(req *pb.LeaseRevokeRequest, want bool) (Response, error) {
	id := req.GetID()
	keys, ok := m.leases.Keys(id)
	if !ok {
		return Response{}, ErrLeaseNotFound
	}
	w := m.kv.Begin()
	for _, key := range keys {
		w.DeleteRange([]byte(key), nil)
	}
	m.finish(w)
	m.leases.Revoke(id)
	m.history.revoke(id)
	m.leaseChanges = append(m.leaseChanges, LeaseChange{Index: m.index + 1, Lease: lease.Lease{ID: id}, Revoked: true})
	resp := Response{Revision: m.kv.Revision()}
	if want {
		resp.LeaseRevoke = &pb.LeaseRevokeResponse{Header: &pb.ResponseHeader{Revision: resp.Revision}}
	}
	return resp, nil
}

// leaseMissing reports whether a put names a lease that does not exist.
func leaseMissing(leases *lease.Set, req *pb.PutRequest) bool {
	return req.GetLease() != 0 && !leases.Has(req.GetLease())
}

// attach follows what changes mean for leases: a pair that is replaced or deleted leaves its lease, a new one joins its
// own.
func (s *state) attach(changes []mvcc.Event) {
	for i := range changes {
		e := &changes[i]
		joins := int64(0)
		if !e.Delete {
			joins = e.KV.Lease
		}
		if e.PrevLease == joins {
			continue
		}
		if e.PrevLease != 0 {
			s.leases.Detach(e.PrevLease, string(e.KV.Key))
		}
		if joins != 0 {
			s.leases.Attach(joins, string(e.KV.Key))
		}
	}
}
