package server

import (
	"context"
	"errors"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// checkStatus compares code and text.
func checkStatus(t *testing.T, got, want error) {
	t.Helper()
	g, w := status.Convert(got), status.Convert(want)
	if g.Code() != w.Code() || g.Message() != w.Message() {
		t.Errorf("got %s %q, want %s %q", g.Code(), g.Message(), w.Code(), w.Message())
	}
}

// Codes and texts as literals: they are what clients were built against, whatever our own table says.
func TestErrorsOnTheWire(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{raftnode.ErrNoLeader, codes.Unavailable, "etcdserver: no leader"},
		{raftnode.ErrTimeout, codes.Unavailable, "etcdserver: request timed out"},
		{raftnode.ErrTimeoutLeaderLost, codes.Unavailable, "etcdserver: request timed out, possibly due to previous leader failure"},
		{raftnode.ErrTimeoutConnectionLost, codes.Unavailable, "etcdserver: request timed out, possibly due to connection lost"},
		{raftnode.ErrTooManyRequests, codes.ResourceExhausted, "etcdserver: too many requests"},
		{raftnode.ErrNoSpace, codes.ResourceExhausted, "etcdserver: mvcc: database space exceeded"},
		{raftnode.ErrTooLarge, codes.InvalidArgument, "etcdserver: request is too large"},
		{raftnode.ErrStopped, codes.Unavailable, "etcdserver: server stopped"},
		{raftnode.ErrNotLeader, codes.FailedPrecondition, "etcdserver: not leader"},
		{raftnode.ErrBadTransferee, codes.FailedPrecondition, "etcdserver: bad leader transferee"},
		{raftnode.ErrTransferTimeout, codes.Unknown, "etcdserver: request timed out, leader transfer took too long"},
		{mvcc.ErrCompacted, codes.OutOfRange, "etcdserver: mvcc: required revision has been compacted"},
		{mvcc.ErrFutureRevision, codes.OutOfRange, "etcdserver: mvcc: required revision is a future revision"},
		{apply.ErrLeaseNotFound, codes.NotFound, "etcdserver: requested lease not found"},
		{apply.ErrLeaseExists, codes.FailedPrecondition, "etcdserver: lease already exists"},
		{apply.ErrKeyNotFound, codes.InvalidArgument, "etcdserver: key not found"},
		{apply.ErrMemberNotFound, codes.NotFound, "etcdserver: member not found"},
		{backend.ErrDamaged, codes.DataLoss, "etcdserver: corrupt cluster"},
		{context.Canceled, codes.Canceled, "context canceled"},
		{context.DeadlineExceeded, codes.DeadlineExceeded, "context deadline exceeded"},
		{errors.New("odd"), codes.Unknown, "odd"},
	} {
		t.Run(tc.err.Error(), func(t *testing.T) {
			n := newSoloNode(t)
			n.proposeError, n.readError = tc.err, tc.err
			kv := pb.NewKVClient(serve(t, n, testConfig()).dial(t))
			ctx := testContext(t)
			want := status.Error(tc.code, tc.text)
			_, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("k")})
			checkStatus(t, err, want)
			_, err = kv.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
			checkStatus(t, err, want)
		})
	}
}

func TestToStatus(t *testing.T) {
	if toStatus(nil) != nil {
		t.Error("nil became an error")
	}
	checkStatus(t, toStatus(fmt.Errorf("read row: %w", mvcc.ErrCompacted)), toStatus(mvcc.ErrCompacted))
	checkStatus(t, toStatus(fmt.Errorf("wait: %w", context.Canceled)), status.Error(codes.Canceled, "wait: context canceled"))
	already := status.Error(codes.Aborted, "as it is")
	checkStatus(t, toStatus(already), already)
}
