package server

import pb "go.etcd.io/etcd/api/v3/etcdserverpb"

// header says who answers. Every response carries it.
type header struct {
	clusterID, memberID uint64
	node                node
}

// fill completes h, or a new header when h is nil. A revision of 0 becomes the store's current one.
func (r *header) fill(h *pb.ResponseHeader) *pb.ResponseHeader {
	h = r.identify(h)
	if h.Revision == 0 {
		if v := r.node.View(); v != nil {
			h.Revision = v.KV.Revision()
		}
	}
	return h
}

// identify fills everything but the revision.
func (r *header) identify(h *pb.ResponseHeader) *pb.ResponseHeader {
	if h == nil {
		h = &pb.ResponseHeader{}
	}
	h.ClusterId, h.MemberId = r.clusterID, r.memberID
	h.RaftTerm = r.node.Status().Term
	return h
}
