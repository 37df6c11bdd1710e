package apply

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/storage/mvcc"
)

func (m *Machine) deleteRange(req *pb.DeleteRangeRequest, want bool) (Response, error) {
	w := m.kv.Begin()
	defer m.finish(w)
	resp, err := runDelete(w, req, want)
	if err != nil {
		return Response{}, fmt.Errorf("run delete: %w", err)
	}
	return Response{DeleteRange: resp, Revision: w.Revision()}, nil
}

// runDelete deletes a range; there is nothing that could forbid it. It returns nil unless somebody wants the answer.
func runDelete(w *mvcc.WriteTxn, req *pb.DeleteRangeRequest, want bool) (*pb.DeleteRangeResponse, error) {
	if !want {
		w.DeleteRange(req.GetKey(), req.GetRangeEnd())
		return nil, nil
	}
	resp := &pb.DeleteRangeResponse{}
	if req.GetPrevKv() {
		res, err := w.Range(req.GetKey(), req.GetRangeEnd(), mvcc.RangeOptions{})
		if err != nil {
			return nil, err
		}
		resp.PrevKvs = res.KVs
	}
	resp.Deleted = int64(w.DeleteRange(req.GetKey(), req.GetRangeEnd()))
	resp.Header = &pb.ResponseHeader{Revision: w.Revision()}
	return resp, nil
}
