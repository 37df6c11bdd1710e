package apply

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// compaction forgets history before a revision. Readers see it at once; the revisions themselves go in slices, by
// [Machine.CompactStep], at each replica's own pace. Physical compaction is for the server to wait for.
func (m *Machine) compaction(req *pb.CompactionRequest, want bool) (Response, error) {
	if err := m.kv.Compact(req.GetRevision()); err != nil {
		return Response{}, err
	}
	m.history.compaction(req.GetRevision())
	resp := Response{Revision: m.kv.Revision()}
	if want {
		resp.Compaction = &pb.CompactionResponse{Header: &pb.ResponseHeader{Revision: resp.Revision}}
	}
	return resp, nil
}
