package server

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Alarm lists the alarms of the cluster: none, for nothing here raises one yet. A full store refuses what would grow it,
// at the moment and without an alarm, and takes writes again once there is room. Raising and clearing alarms by hand is
// refused rather than forgotten.
func (m *maintenanceServer) Alarm(ctx context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	if r.Action != pb.AlarmRequest_GET {
		return nil, status.Errorf(codes.Unimplemented, "etcdserver: alarms cannot be raised or cleared by hand yet")
	}
	v, err := m.view(ctx, false)
	if err != nil {
		return nil, toStatus(err)
	}
	return &pb.AlarmResponse{Header: m.header.fill(&pb.ResponseHeader{Revision: v.KV.Revision()})}, nil
}
