// Package admin is the client's side of the call with which drills set faults in a running member.
package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/server/drillpb"
)

// What keeps a member from taking rules. The errors of this package match one of these, or say which rule is wrong.
var (
	ErrDisabled = errors.New("it was started without --enable-drills; start it with --enable-drills to drill it")
	ErrToken    = errors.New("it does not accept the drill token: give the one it was started with (--drills-token) " +
		"or the one that it logged when it started")
	ErrUnreachable = errors.New("it cannot be reached")
)

// SetFaults replaces the faults of the member at the other end of conn by rules that end by themselves after ttl. Rules
// without a fault heal it, whatever ttl is. Errors speak of the member as "it": the caller knows its name.
func SetFaults(ctx context.Context, conn grpc.ClientConnInterface, token string, rules fault.Rules, ttl time.Duration) error {
	ctx = metadata.AppendToOutgoingContext(ctx, drillpb.TokenKey, token)
	_, err := drillpb.NewDrillClient(conn).SetFaults(ctx, &drillpb.SetFaultsRequest{
		Rules: drillpb.FromRules(rules), TtlNs: int64(ttl),
	})
	return explain(err)
}

func explain(err error) error {
	if err == nil {
		return nil
	}
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unimplemented:
		return ErrDisabled
	case codes.PermissionDenied:
		return ErrToken
	case codes.Unavailable:
		return fmt.Errorf("%w: %s", ErrUnreachable, s.Message())
	case codes.DeadlineExceeded:
		return fmt.Errorf("%w: no answer in time", ErrUnreachable)
	case codes.Canceled:
		return context.Canceled
	}
	return fmt.Errorf("it refuses the faults: %s", strings.TrimPrefix(s.Message(), "quorumkv: "))
}
