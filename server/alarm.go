package server

import (
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// Alarm lists, raises and clears alarms. What is wrong with a member's disk the members say themselves, and take back; by
// hand one may be cleared that nobody takes back, or writes be stopped, with an alarm that is no member's.
func (m *maintenanceServer) Alarm(ctx context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	if r.Action == pb.AlarmRequest_GET {
		v, err := m.view(ctx, false)
		if err != nil {
			return nil, toStatus(err)
		}
		return &pb.AlarmResponse{
			Header: m.header.fill(&pb.ResponseHeader{Revision: v.KV.Revision()}),
			Alarms: apply.AlarmMembers(v.AlarmsOf(r.Alarm)),
		}, nil
	}
	resp, err := m.node.Propose(ctx, &pb.InternalRaftRequest{Alarm: r})
	if err != nil {
		return nil, toStatus(err)
	}
	resp.Alarm.Header = m.header.fill(resp.Alarm.Header)
	return resp.Alarm, nil
}

// alarms are those that this member knows of.
func (a *api) alarms() []apply.Alarm {
	if v := a.node.View(); v != nil {
		return v.Alarms
	}
	return nil
}

// alarmText is an alarm as Status lists it: without a member if it is nobody's.
func alarmText(a apply.Alarm) string {
	if a.Member == 0 {
		return "alarm:" + a.Type.String()
	}
	return fmt.Sprintf("memberID:%d alarm:%s", a.Member, a.Type)
}

// alarmReason is what /health says of an alarm.
func alarmReason(a apply.Alarm) string { return "ALARM " + a.Type.String() }
