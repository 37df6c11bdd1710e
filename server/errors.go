package server

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// errTransferTimeout is the one text of etcd's that its own package of texts does not have.
var errTransferTimeout = status.Error(codes.Unknown, "etcdserver: request timed out, leader transfer took too long")

// statuses maps what a request can end with to what the client sees. Clients recognise an error by its text and decide
// by its code whether to try again, so both are part of the API.
//
// One of etcd's codes is not copied: its table names the client's "too many requests" where it needs the server's, and
// so sends it as Unknown.
var statuses = []struct{ err, status error }{
	{mvcc.ErrCompacted, rpctypes.ErrGRPCCompacted},
	{mvcc.ErrFutureRevision, rpctypes.ErrGRPCFutureRev},
	{backend.ErrDamaged, rpctypes.ErrGRPCCorrupt},

	{apply.ErrLeaseNotFound, rpctypes.ErrGRPCLeaseNotFound},
	{apply.ErrLeaseExists, rpctypes.ErrGRPCLeaseExist},
	{apply.ErrKeyNotFound, rpctypes.ErrGRPCKeyNotFound},
	{apply.ErrMemberNotFound, rpctypes.ErrGRPCMemberNotFound},
	{apply.ErrNotMember, rpctypes.ErrGRPCStopped},
	// Executed or not: the window no longer knows.
	{apply.ErrDuplicate, rpctypes.ErrGRPCTimeout},

	{raftnode.ErrNoLeader, rpctypes.ErrGRPCNoLeader},
	{raftnode.ErrTimeout, rpctypes.ErrGRPCTimeout},
	{raftnode.ErrTimeoutLeaderLost, rpctypes.ErrGRPCTimeoutDueToLeaderFail},
	{raftnode.ErrTimeoutConnectionLost, rpctypes.ErrGRPCTimeoutDueToConnectionLost},
	{raftnode.ErrTooManyRequests, rpctypes.ErrGRPCRequestTooManyRequests},
	{raftnode.ErrNoSpace, rpctypes.ErrGRPCNoSpace},
	{raftnode.ErrTooLarge, rpctypes.ErrGRPCRequestTooLarge},
	{raftnode.ErrStopped, rpctypes.ErrGRPCStopped},
	{raftnode.ErrNotLeader, rpctypes.ErrGRPCNotLeader},
	{raftnode.ErrBadTransferee, rpctypes.ErrGRPCBadLeaderTransferee},
	{raftnode.ErrTransferTimeout, errTransferTimeout},

	// Another member can answer, hence Unavailable.
	{raftnode.ErrNotReady, rpctypes.ErrGRPCTimeoutWaitAppliedIndex},
}

// toStatus returns err in the form in which it goes to the client.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	// The client's own deadline, or its going away, keeps the plain text that every gRPC client knows.
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.status
		}
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Unknown, err.Error())
}

// errorText is the text that a client would see, for places that show no code.
func errorText(err error) string { return rpctypes.ErrorDesc(toStatus(err)) }
