package apply

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/storage/lease"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

func (m *Machine) put(req *pb.PutRequest, want bool) (Response, error) {
	w := m.kv.Begin()
	defer m.finish(w)
	if leaseMissing(m.leases, req) {
		return Response{}, ErrLeaseNotFound
	}
	previous, err := replaced(w, req, want)
	if err != nil {
		return Response{}, err
	}
	if previous == nil && inherits(req) {
		return Response{}, ErrKeyNotFound
	}
	return Response{Put: runPut(w, req, previous, want), Revision: w.Revision()}, nil
}

// checkPut decides whether a put within a transaction may run.
func checkPut(r mvcc.Reader, leases *lease.Set, req *pb.PutRequest) error {
	if leaseMissing(leases, req) {
		return ErrLeaseNotFound
	}
	if !inherits(req) {
		return nil
	}
	previous, err := get(r, req.GetKey())
	if err == nil && previous == nil {
		err = ErrKeyNotFound
	}
	return err
}

// inherits reports whether a put takes something over from the pair it replaces, which must exist then.
func inherits(req *pb.PutRequest) bool { return req.GetIgnoreValue() || req.GetIgnoreLease() }

// replaced reads the pair that a put is about to replace, if the put or its answer needs it: nil when there is none.
func replaced(r mvcc.Reader, req *pb.PutRequest, want bool) (*mvccpb.KeyValue, error) {
	if !inherits(req) && !(want && req.GetPrevKv()) {
		return nil, nil
	}
	return get(r, req.GetKey())
}

// runPut writes a pair; previous is what replaced returned. It returns nil unless somebody wants the answer.
func runPut(w *mvcc.WriteTxn, req *pb.PutRequest, previous *mvccpb.KeyValue, want bool) *pb.PutResponse {
	value, lease := req.GetValue(), req.GetLease()
	if req.GetIgnoreValue() {
		value = previous.GetValue()
	}
	if req.GetIgnoreLease() {
		lease = previous.GetLease()
	}
	w.Put(req.GetKey(), value, lease)
	if !want {
		return nil
	}
	answer := &struct { // one allocation for both
		resp   pb.PutResponse
		header pb.ResponseHeader
	}{}
	answer.header.Revision = w.Revision()
	answer.resp.Header = &answer.header
	if req.GetPrevKv() {
		answer.resp.PrevKv = previous
	}
	return &answer.resp
}

// get reads the newest pair of one key: nil when there is none.
func get(r mvcc.Reader, key []byte) (*mvccpb.KeyValue, error) {
	res, err := r.Range(key, nil, mvcc.RangeOptions{})
	if err != nil || len(res.KVs) == 0 {
		return nil, err
	}
	return res.KVs[0], nil
}
