package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/server/drillpb"
	"github.com/quorumkv/quorumkv/storage/apply"
)

// drillServer is quorumkv.v1.Drill. It is there for gRPC clients of the client address only: neither the JSON gateway nor
// the member's connection to itself leads to it.
type drillServer struct {
	*api
	drillpb.UnimplementedDrillServer
}

var errDrillToken = status.Error(codes.PermissionDenied,
	"quorumkv: the metadata "+drillpb.TokenKey+" is missing or is not this member's drill token, "+
		"which it logs when it starts unless --drills-token sets it")

// errNoMembersYet is not the client's fault: the same rules may do in a moment.
var errNoMembersYet = errors.New("this member does not know the members of its cluster yet: try again in a moment")

func (d *drillServer) SetFaults(ctx context.Context, r *drillpb.SetFaultsRequest) (*drillpb.SetFaultsResponse, error) {
	if err := d.checkToken(ctx); err != nil {
		return nil, err
	}
	until, err := d.drills.faults.Set(drillpb.ToRules(r.GetRules()), time.Duration(r.GetTtlNs()), d.checkPeer)
	switch {
	case errors.Is(err, errNoMembersYet), errors.Is(err, fault.ErrClosed):
		return nil, status.Errorf(codes.FailedPrecondition, "quorumkv: %v", err)
	case err != nil:
		return nil, status.Errorf(codes.InvalidArgument, "quorumkv: %v", err)
	}
	return &drillpb.SetFaultsResponse{DeadlineUnixNs: unixNanos(until)}, nil
}

func (d *drillServer) GetFaults(ctx context.Context, _ *drillpb.GetFaultsRequest) (*drillpb.GetFaultsResponse, error) {
	if err := d.checkToken(ctx); err != nil {
		return nil, err
	}
	r, until := d.drills.faults.Rules()
	return &drillpb.GetFaultsResponse{Rules: drillpb.FromRules(r), DeadlineUnixNs: unixNanos(until)}, nil
}

func (d *drillServer) checkToken(ctx context.Context) error {
	v := metadata.ValueFromIncomingContext(ctx, drillpb.TokenKey)
	if len(v) == 1 && d.drills.admits(v[0]) {
		return nil
	}
	var from string
	if p, ok := peer.FromContext(ctx); ok {
		from = p.Addr.String()
	}
	d.drills.refusals.Do(func() {
		d.drills.logger.Warn("call refused, its token is missing or wrong, and perhaps more of them", "client", from)
	})
	return errDrillToken
}

// checkPeer says whether rules may name a member.
func (d *drillServer) checkPeer(id uint64) error {
	if id == d.header.memberID {
		return fmt.Errorf("peer %x is this member itself: name one of the others", id)
	}
	v := d.node.View()
	if v == nil {
		return errNoMembersYet
	}
	if !slices.ContainsFunc(v.Members, func(m apply.Member) bool { return m.ID == id }) {
		return fmt.Errorf("peer %x is no member of the cluster: list them with quorumctl member list", id)
	}
	return nil
}

func unixNanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
