package output

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Leases prints the answers of the lease commands.
type Leases interface {
	Grant(*clientv3.LeaseGrantResponse) error
	Revoke(clientv3.LeaseID, *clientv3.LeaseRevokeResponse) error
	KeepAlive(*clientv3.LeaseKeepAliveResponse) error
	TimeToLive(r *clientv3.LeaseTimeToLiveResponse, keys bool) error // keys: the attached keys were asked for
	Leases(*clientv3.LeaseLeasesResponse) error

	// Ended says that a lease is kept alive no longer. Only the simple format has words for it.
	Ended(clientv3.LeaseID) error
}

// NewLeases returns a printer for leases: every format but table.
func NewLeases(c Config) (Leases, error) {
	return withoutTable[Leases](c, fields{c}, jsonFormat{c}, protobuf{c}, simple{c})
}

func (s simple) Grant(r *clientv3.LeaseGrantResponse) error {
	return s.line("lease %016x granted with TTL(%ds)", r.ID, r.TTL)
}

func (s simple) Revoke(id clientv3.LeaseID, _ *clientv3.LeaseRevokeResponse) error {
	return s.line("lease %016x revoked", id)
}

func (s simple) KeepAlive(r *clientv3.LeaseKeepAliveResponse) error {
	return s.line("lease %016x keepalived with TTL(%d)", r.ID, r.TTL)
}

func (s simple) TimeToLive(r *clientv3.LeaseTimeToLiveResponse, keys bool) error {
	if r.GrantedTTL == 0 && r.TTL == -1 {
		return s.line("lease %016x already expired", r.ID)
	}
	attached := ""
	if keys {
		attached = fmt.Sprintf(", attached keys(%s)", r.Keys)
	}
	return s.line("lease %016x granted with TTL(%ds), remaining(%ds)%s", r.ID, r.GrantedTTL, r.TTL, attached)
}

func (s simple) Leases(r *clientv3.LeaseLeasesResponse) error {
	if err := s.line("found %d leases", len(r.Leases)); err != nil {
		return err
	}
	for _, l := range r.Leases {
		if err := s.line("%016x", l.ID); err != nil {
			return err
		}
	}
	return nil
}

func (s simple) Ended(id clientv3.LeaseID) error {
	return s.line("lease %016x expired or revoked.", id)
}

func (s simple) line(format string, args ...any) error {
	_, err := fmt.Fprintf(s.c.Out, format+"\n", args...)
	return err
}

func (f fields) Grant(r *clientv3.LeaseGrantResponse) error {
	return f.lease(r.ResponseHeader, r.ID, r.TTL, func(*page) {})
}

func (f fields) Revoke(_ clientv3.LeaseID, r *clientv3.LeaseRevokeResponse) error {
	var p page
	f.header(&p, (*pb.LeaseRevokeResponse)(r).GetHeader())
	return f.flush(&p)
}

func (f fields) KeepAlive(r *clientv3.LeaseKeepAliveResponse) error {
	return f.lease(r.ResponseHeader, r.ID, r.TTL, func(*page) {})
}

func (f fields) TimeToLive(r *clientv3.LeaseTimeToLiveResponse, _ bool) error {
	return f.lease(r.ResponseHeader, r.ID, r.TTL, func(p *page) {
		p.value("GrantedTTL", r.GrantedTTL)
		for _, key := range r.Keys {
			p.quoted("Key", string(key))
		}
	})
}

func (f fields) Leases(r *clientv3.LeaseLeasesResponse) error {
	var p page
	f.header(&p, r.ResponseHeader)
	for _, l := range r.Leases {
		p.value("ID", f.leaseID(l.ID))
	}
	return f.flush(&p)
}

func (f fields) Ended(clientv3.LeaseID) error { return nil }

// lease prints what all answers about one lease begin with, then the rest.
func (f fields) lease(h *pb.ResponseHeader, id clientv3.LeaseID, ttl int64, rest func(*page)) error {
	var p page
	f.header(&p, h)
	p.value("ID", f.leaseID(id))
	p.value("TTL", ttl)
	rest(&p)
	return f.flush(&p)
}

func (f fields) leaseID(id clientv3.LeaseID) string {
	if f.c.Hex {
		return fmt.Sprintf("%016x", int64(id))
	}
	return fmt.Sprint(int64(id))
}

func (j jsonFormat) Grant(r *clientv3.LeaseGrantResponse) error { return j.line(r) }
func (j jsonFormat) Revoke(_ clientv3.LeaseID, r *clientv3.LeaseRevokeResponse) error {
	return j.line(r)
}
func (j jsonFormat) KeepAlive(r *clientv3.LeaseKeepAliveResponse) error { return j.line(r) }
func (j jsonFormat) TimeToLive(r *clientv3.LeaseTimeToLiveResponse, keys bool) error {
	return j.line(r)
}
func (j jsonFormat) Leases(r *clientv3.LeaseLeasesResponse) error { return j.line(r) }
func (j jsonFormat) Ended(clientv3.LeaseID) error                 { return nil }

// The client library takes the answers about leases apart. The protobuf format puts them together again; etcdctl prints
// their header alone.

func (p protobuf) Grant(r *clientv3.LeaseGrantResponse) error {
	return p.message(&pb.LeaseGrantResponse{Header: r.ResponseHeader, ID: int64(r.ID), TTL: r.TTL, Error: r.Error})
}

func (p protobuf) Revoke(_ clientv3.LeaseID, r *clientv3.LeaseRevokeResponse) error {
	return p.message((*pb.LeaseRevokeResponse)(r))
}

func (p protobuf) KeepAlive(r *clientv3.LeaseKeepAliveResponse) error {
	return p.message(&pb.LeaseKeepAliveResponse{Header: r.ResponseHeader, ID: int64(r.ID), TTL: r.TTL})
}

func (p protobuf) TimeToLive(r *clientv3.LeaseTimeToLiveResponse, _ bool) error {
	return p.message(&pb.LeaseTimeToLiveResponse{
		Header: r.ResponseHeader, ID: int64(r.ID), TTL: r.TTL, GrantedTTL: r.GrantedTTL, Keys: r.Keys,
	})
}

func (p protobuf) Leases(r *clientv3.LeaseLeasesResponse) error {
	m := &pb.LeaseLeasesResponse{Header: r.ResponseHeader}
	for _, l := range r.Leases {
		m.Leases = append(m.Leases, &pb.LeaseStatus{ID: int64(l.ID)})
	}
	return p.message(m)
}

func (p protobuf) Ended(clientv3.LeaseID) error { return nil }
