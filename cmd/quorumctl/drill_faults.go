package main

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/server/drillpb"
)

// setFaults replaces the faults of the member at the other end of conn.
func setFaults(ctx context.Context, conn grpc.ClientConnInterface, token string, rules fault.Rules, ttl time.Duration) error {
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, drillpb.TokenKey, token)
	}
	_, err := drillpb.NewDrillClient(conn).SetFaults(ctx,
		&drillpb.SetFaultsRequest{Rules: drillpb.FromRules(rules), TtlNs: int64(ttl)})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return errors.New("it does not take part in drills: start it with --enable-drills")
	case status.Code(err) == codes.PermissionDenied && token == "":
		return errors.New("it wants its drill token: give it with --drills-token or in QUORUMCTL_DRILLS_TOKEN; " +
			"the server logs it when it starts, unless its own --drills-token sets it")
	case status.Code(err) == codes.PermissionDenied:
		return errors.New("the drill token is wrong: --drills-token here must be that of all the servers")
	}
	return err
}
