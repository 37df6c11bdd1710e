package main

import (
	"context"
	"errors"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// advice maps an error of the API to what the user can do about it. The first match counts.
var advice = []struct {
	err  error
	hint string
}{
	{clientv3.ErrNoAvailableEndpoints, "name at least one server, for example --endpoints " + defaultEndpoint},
	{rpctypes.ErrEmptyKey, "a key has at least one byte; to mean every key, write \"\" --prefix"},
	{rpctypes.ErrKeyNotFound, "--ignore-value and --ignore-lease need a key that exists; put it without them first"},
	{rpctypes.ErrLeaseNotFound, "that lease does not exist or has expired; `quorumctl lease list` shows those there are"},
	{rpctypes.ErrLeaseTTLTooLarge, "the largest time to live is 9000000000 seconds"},
	{rpctypes.ErrCompacted, "that revision has been removed; `quorumctl get KEY -w fields` shows the current one"},
	{rpctypes.ErrFutureRev, "that revision does not exist yet; `quorumctl get KEY -w fields` shows the current one"},
	{rpctypes.ErrDuplicateKey, "one transaction may change a key only once on each branch"},
	{rpctypes.ErrTooManyOps, "split the transaction, or raise --max-txn-ops of the servers"},
	{rpctypes.ErrRequestTooLarge, "split the value, or raise --max-request-bytes of the servers"},
	{rpctypes.ErrNoSpace,
		"delete keys and compact, free space on the disks of the members, or raise --quota-backend-bytes of the servers"},
	{rpctypes.ErrTooManyRequests, "the servers are overloaded; try again in a moment"},
	{rpctypes.ErrNotLeader, "another member has come to lead meanwhile; try again"},
	{rpctypes.ErrBadLeaderTransferee, "no voting member has that id; `quorumctl member list` shows those there are"},
	{rpctypes.ErrNoLeader, leaderHint},
	{rpctypes.ErrLeaderChanged, "a new leader was elected; try again"},
	{rpctypes.ErrTimeout, leaderHint},
	{rpctypes.ErrTimeoutDueToLeaderFail, leaderHint},
	{rpctypes.ErrTimeoutDueToConnectionLost, leaderHint},
	{rpctypes.ErrStopped, "that server is stopping; try another with --endpoints"},
	{rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner),
		"that server is a learner; read with --consistency s, or ask a voting member"},
	{rpctypes.ErrUserEmpty, "the cluster wants to know who you are: log in with --user name:password"},
	{rpctypes.ErrAuthFailed, "check --user and --password"},
	{rpctypes.ErrPermissionDenied, "this user may not do that; log in as another with --user"},
	{rpctypes.ErrInvalidAuthToken, "the token is wrong or has expired; log in again"},
}

const leaderHint = "a majority of the members must be up and connected to each other, and agree on a leader; see " +
	"`quorumctl endpoint status --cluster -w table`"

// hints says what to do about err, an error of the client library.
func hints(err error, r reach) []string {
	for _, a := range advice {
		if errors.Is(err, a.err) {
			return []string{a.hint}
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded,
		status.Code(err) == codes.Unavailable:
		return r.explain()
	case strings.Contains(err.Error(), "leader transfer took too long"):
		return []string{"that member did not take over: it is down, cut off or far behind, or another transfer was under way; see " +
			"`quorumctl endpoint status --cluster -w table`"}
	case strings.Contains(err.Error(), "message recv limit"):
		return []string{"--max-recv-bytes must not be smaller than --max-request-bytes"}
	case strings.Contains(err.Error(), "unexpected HTTP status code"):
		return []string{"what answered is no gRPC server: a proxy, or another service; check --endpoints and HTTPS_PROXY"}
	case status.Code(err) == codes.Unimplemented && strings.Contains(err.Error(), "RangeStream does not support"):
		return []string{"--stream reads in key order only: leave it out, or leave out the flags for order and revisions"}
	case status.Code(err) == codes.Unimplemented && strings.Contains(err.Error(), "RangeStream"):
		return []string{"--stream needs a server of version 3.7 or newer; leave it out"}
	case status.Code(err) == codes.Unimplemented && (strings.Contains(err.Error(), "unknown service etcdserverpb.KV") ||
		strings.Contains(err.Error(), "unknown service etcdserverpb.Cluster")):
		return []string{"that is no address for clients, but perhaps a member's for its peers; check --endpoints"}
	case status.Code(err) == codes.Unimplemented:
		return []string{"this server does not offer what was asked; see `quorumctl endpoint status` for its version"}
	case status.Code(err) == codes.ResourceExhausted:
		return []string{"the message is larger than a limit: see --max-request-bytes and --max-recv-bytes"}
	}
	return nil
}

// outcomeOpen says whether a write that failed with err may have been made all the same.
func outcomeOpen(err error) bool {
	for _, e := range []error{context.DeadlineExceeded, rpctypes.ErrTimeout, rpctypes.ErrTimeoutDueToLeaderFail,
		rpctypes.ErrTimeoutDueToConnectionLost, rpctypes.ErrLeaderChanged, rpctypes.ErrStopped} {
		if errors.Is(err, e) {
			return true
		}
	}
	code := status.Code(err)
	return code == codes.DeadlineExceeded || code == codes.Unavailable
}

// lastFailure remembers the newest raw error of a call. The client library replaces it by "context deadline exceeded"
// when time runs out, and with it the reason why no connection could be made.
type lastFailure struct {
	mu  sync.Mutex
	err error // guarded by mu
}

func (l *lastFailure) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := invoke(ctx, method, req, reply, cc, opts...)
	l.set(err)
	return err
}

func (l *lastFailure) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(ctx, desc, cc, method, opts...)
	l.set(err)
	return s, err
}

func (l *lastFailure) set(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *lastFailure) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		return ""
	}
	return status.Convert(l.err).Message()
}

// neverSent says whether the call ended before there was a connection to send it on.
func (l *lastFailure) neverSent() bool {
	return strings.Contains(l.text(), "latest balancer error") || strings.Contains(l.text(), "connections to become ready")
}
