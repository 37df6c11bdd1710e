package server

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/api/v3/version"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// maintenanceServer is etcdserverpb.Maintenance. Its answers are about this member alone.
type maintenanceServer struct {
	*api
	pb.UnimplementedMaintenanceServer
}

// dataVersion is the version of etcd that wrote like we write, as Status and /version name it.
const dataVersion = "3.7.0"

// Status answers at all times, without a leader and on a learner too: it is what an operator asks when nothing works.
func (m *maintenanceServer) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	s := m.node.Status()
	total, inUse := m.sizes()
	resp := &pb.StatusResponse{
		Header:           m.header.fill(nil),
		Version:          version.Version,
		DbSize:           total,
		DbSizeInUse:      inUse,
		DbSizeQuota:      m.limits.QuotaBytes,
		Leader:           s.Leader,
		RaftIndex:        s.Commit,
		RaftAppliedIndex: s.Applied,
		RaftTerm:         s.Term,
		IsLearner:        s.Learner,
		DowngradeInfo:    &pb.DowngradeInfo{},
	}
	if m.founded() {
		resp.StorageVersion = dataVersion
	}
	if s.Leader == 0 {
		resp.Errors = append(resp.Errors, rpctypes.ErrorDesc(rpctypes.ErrGRPCNoLeader))
	}
	for _, a := range m.alarms() {
		resp.Errors = append(resp.Errors, alarmText(a))
	}
	if s.DiskStall > 0 {
		resp.Errors = append(resp.Errors, fmt.Sprintf("disk stalled for %.1f s", s.DiskStall.Seconds()))
	}
	if s.Damage != "" {
		resp.Errors = append(resp.Errors, s.Damage)
	}
	if s.Dispute != "" {
		resp.Errors = append(resp.Errors, s.Dispute)
	}
	if n := m.drills.notice(); n != "" {
		resp.Errors = append(resp.Errors, n)
	}
	return resp, nil
}

// founded reports whether the cluster has ever had a leader: the state starts at index 1, and a first leader adds to
// it. Only then etcd would have decided on the version of its data.
func (a *api) founded() bool { return a.node.Status().Applied > 1 }

// HashKV hashes the history up to a revision as etcd does. Members with the same history and the same compact revision
// give the same hash.
func (m *maintenanceServer) HashKV(ctx context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	resp, err := readView(ctx, m.api, true, &m.metrics.hashKV, func(v *apply.View) (*pb.HashKVResponse, error) {
		h, err := v.KV.HashKV(r.Revision)
		return &pb.HashKVResponse{
			Header:          &pb.ResponseHeader{Revision: v.KV.Revision()},
			Hash:            h.Hash,
			CompactRevision: h.CompactRevision,
			HashRevision:    h.HashRevision,
		}, err
	})
	if err != nil {
		return nil, toStatus(err)
	}
	resp.Header = m.header.fill(resp.Header)
	return resp, nil
}

// MoveLeader hands this member's leadership to another voter. It returns when that one leads.
func (m *maintenanceServer) MoveLeader(ctx context.Context, r *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	switch leads := m.node.Status().Leader == m.header.memberID; {
	case !leads:
		return nil, rpctypes.ErrGRPCNotLeader
	case r.TargetID == 0: // nobody's id, but the node would choose
		return nil, rpctypes.ErrGRPCBadLeaderTransferee
	}
	if err := m.node.TransferLeadership(ctx, r.TargetID); err != nil {
		return nil, toStatus(err)
	}
	return &pb.MoveLeaderResponse{Header: m.header.fill(nil)}, nil
}
