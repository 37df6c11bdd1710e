package server

import (
	"context"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/raftnode"
)

// errPanic is all that a client learns about a bug of ours; the log has the rest.
var errPanic = status.Error(codes.Internal, "internal error")

// unary stands before every unary method.
func (a *api) unary(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (resp any, err error) {
	defer a.recoverPanic(info.FullMethod, &err)
	s := a.node.Status()
	if s.Learner && ours(info.FullMethod) && !servedByLearner(req) {
		return nil, rpctypes.ErrGRPCNotSupportedForLearner
	}
	if _, err := a.admit(ctx, &s, a.metrics.unaryClients); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// stream stands before every streaming method. A stream whose client asked for a leader ends when there is none for
// a while.
func (a *api) stream(
	srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler,
) (err error) {
	defer a.recoverPanic(info.FullMethod, &err)
	s := a.node.Status()
	if s.Learner && ours(info.FullMethod) {
		return rpctypes.ErrGRPCNotSupportedForLearner
	}
	needsLeader, err := a.admit(ss.Context(), &s, a.metrics.streamClients)
	if err != nil {
		return err
	}
	if !needsLeader {
		return handler(srv, ss)
	}
	ctx, detach := a.leadership.attach(ss.Context())
	defer detach()
	err = handler(srv, &streamWithContext{ss, ctx})
	if context.Cause(ctx) == rpctypes.ErrGRPCNoLeader {
		return rpctypes.ErrGRPCNoLeader
	}
	return err
}

// streamWithContext is a stream whose context may end before the connection's.
type streamWithContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *streamWithContext) Context() context.Context { return s.ctx }

// admit reads what a client sends along with each request: the version of the API it speaks, which is only counted, and
// whether it wants to be turned away when there is no leader.
func (a *api) admit(ctx context.Context, s *raftnode.Status, clients *clientVersions) (needsLeader bool, err error) {
	version := "unknown"
	if v := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataClientAPIVersionKey); len(v) > 0 {
		version = v[0]
	}
	if !utf8.ValidString(version) {
		return false, rpctypes.ErrGRPCInvalidClientAPIVersion
	}
	clients.count(version)
	v := metadata.ValueFromIncomingContext(ctx, rpctypes.MetadataRequireLeaderKey)
	needsLeader = len(v) > 0 && v[0] == rpctypes.MetadataHasLeader
	if needsLeader && s.Leader == 0 {
		return true, rpctypes.ErrGRPCNoLeader
	}
	return needsLeader, nil
}

// ours tells etcd's services from gRPC's own, which a learner serves like everyone else.
func ours(method string) bool {
	return strings.HasPrefix(method, "/etcdserverpb.") ||
		strings.HasPrefix(method, "/v3lockpb.") || strings.HasPrefix(method, "/v3electionpb.")
}

// servedByLearner: a learner may be far behind, so it answers only those who know that or ask about itself.
func servedByLearner(req any) bool {
	switch r := req.(type) {
	case *pb.StatusRequest:
		return true
	case *pb.RangeRequest:
		return r.Serializable
	}
	return false
}

// recoverPanic keeps a bug that one request meets away from all others. Where state could be half changed there is
// nothing to recover: the loop and the lanes run elsewhere and die of their own panics.
func (a *api) recoverPanic(method string, err *error) {
	if p := recover(); p != nil {
		a.logger.Error("request panicked", "method", method, "panic", p, "stack", string(debug.Stack()))
		*err = errPanic
	}
}
