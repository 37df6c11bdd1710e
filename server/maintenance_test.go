package server

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
)

func TestStatus(t *testing.T) {
	n := newSoloNode(t)
	m := pb.NewMaintenanceClient(serve(t, n, testConfig()).dial(t))
	want := &pb.StatusResponse{
		Header:           &pb.ResponseHeader{ClusterId: testCluster, MemberId: testMember, RaftTerm: testTerm, Revision: 1},
		Version:          "3.7.3",
		DbSize:           65536,
		DbSizeInUse:      32768,
		DbSizeQuota:      2 << 30,
		Leader:           testMember,
		RaftIndex:        1,
		RaftAppliedIndex: 1,
		RaftTerm:         testTerm,
		DowngradeInfo:    &pb.DowngradeInfo{},
	}
	check := func(what string) {
		t.Helper()
		got, err := m.Status(testContext(t), &pb.StatusRequest{})
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
	}
	check("new cluster")
	n.change(func(s *raftnode.Status) { s.Applied, s.Commit = 4, 5 })
	want.RaftAppliedIndex, want.RaftIndex, want.StorageVersion = 4, 5, "3.7.0"
	check("running")
	n.change(func(s *raftnode.Status) { s.Leader, s.Learner = 0, true })
	want.Leader, want.IsLearner, want.Errors = 0, true, []string{"etcdserver: no leader"}
	check("without a leader")
	n.view.Store(nil)
	want.Header.Revision = 0
	check("without a state")
}

func TestHashKV(t *testing.T) {
	n := newSoloNode(t)
	c := serve(t, n, testConfig()).client(t)
	ctx := testContext(t)
	endpoint := c.Endpoints()[0]
	for range 4 {
		put(t, c, "k", "v")
	}
	if _, err := c.Compact(ctx, 3); err != nil {
		t.Fatal(err)
	}
	for _, revision := range []int64{0, 4} {
		want, err := n.View().KV.HashKV(revision)
		if err != nil {
			t.Fatal(err)
		}
		h, err := c.HashKV(ctx, endpoint, revision)
		if err != nil || h.Hash != want.Hash || h.CompactRevision != 3 || h.HashRevision != want.HashRevision {
			t.Errorf("at %d: %v, %v, want %+v", revision, h, err, want)
		}
		checkHeader(t, h.Header, 5)
	}
	if _, err := c.HashKV(ctx, endpoint, 2); err != rpctypes.ErrCompacted {
		t.Errorf("below the compact revision: %v", err)
	}
	if _, err := c.HashKV(ctx, endpoint, 6); err != rpctypes.ErrFutureRev {
		t.Errorf("in the future: %v", err)
	}
}

func TestMoveLeader(t *testing.T) {
	n := newSoloNode(t)
	var asked []uint64
	var answer error
	n.transfer = func(target uint64) error {
		asked = append(asked, target)
		return answer
	}
	m := pb.NewMaintenanceClient(serve(t, n, testConfig()).dial(t))
	move := func(target uint64) (*pb.MoveLeaderResponse, error) {
		return m.MoveLeader(testContext(t), &pb.MoveLeaderRequest{TargetID: target})
	}
	r, err := move(0x20)
	if err != nil {
		t.Fatal(err)
	}
	checkHeader(t, r.Header, 1)
	for _, tc := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{raftnode.ErrBadTransferee, codes.FailedPrecondition, "etcdserver: bad leader transferee"},
		{raftnode.ErrNotLeader, codes.FailedPrecondition, "etcdserver: not leader"},
		{raftnode.ErrTransferTimeout, codes.Unknown, "etcdserver: request timed out, leader transfer took too long"},
		{raftnode.ErrStopped, codes.Unavailable, "etcdserver: server stopped"},
	} {
		answer = tc.err
		_, err := move(0x30)
		checkStatus(t, err, status.Error(tc.code, tc.text))
	}
	if want := []uint64{0x20, 0x30, 0x30, 0x30, 0x30}; !slices.Equal(asked, want) {
		t.Errorf("asked to hand over to %x, want %x", asked, want)
	}

	// What the node must not be asked: to choose by itself, or to lead elsewhere.
	n.transfer = func(target uint64) error { return fmt.Errorf("asked for %x", target) }
	_, err = move(0)
	checkStatus(t, err, status.Error(codes.FailedPrecondition, "etcdserver: bad leader transferee"))
	n.change(func(s *raftnode.Status) { s.Leader = 0x20 })
	_, err = move(0x20)
	checkStatus(t, err, status.Error(codes.FailedPrecondition, "etcdserver: not leader"))
}

func TestMemberList(t *testing.T) {
	n := newSoloNode(t,
		apply.Member{ID: 0x20, PeerURLs: []string{"http://b:2380"}, Learner: true},
		apply.Member{ID: testMember, Name: "a", PeerURLs: []string{"http://a:2380"}, ClientURLs: []string{"http://a:2379"}},
	)
	c := serve(t, n, testConfig()).client(t)
	want := []*pb.Member{
		{ID: testMember, Name: "a", PeerURLs: []string{"http://a:2380"}, ClientURLs: []string{"http://a:2379"}},
		{ID: 0x20, PeerURLs: []string{"http://b:2380"}, IsLearner: true},
	}
	for _, tc := range []struct {
		opts  []clientv3.OpOption
		reads int64
	}{{nil, 1}, {[]clientv3.OpOption{clientv3.WithSerializable()}, 0}} {
		n.reads.Store(0)
		r, err := c.MemberList(testContext(t), tc.opts...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, r.Members, protocmp.Transform()); diff != "" {
			t.Errorf("members (-want +got):\n%s", diff)
		}
		checkHeader(t, r.Header, 1)
		if got := n.reads.Load(); got != tc.reads {
			t.Errorf("%d linearizable reads, want %d", got, tc.reads)
		}
	}
}

func TestWhatIsNotHereIsUnimplemented(t *testing.T) {
	conn := serve(t, newSoloNode(t), testConfig()).dial(t)
	ctx := testContext(t)
	for name, call := range map[string]func() error{
		"MemberAdd": func() error { _, err := pb.NewClusterClient(conn).MemberAdd(ctx, &pb.MemberAddRequest{}); return err },
		"Defragment": func() error {
			_, err := pb.NewMaintenanceClient(conn).Defragment(ctx, &pb.DefragmentRequest{})
			return err
		},
		"AuthStatus": func() error { _, err := pb.NewAuthClient(conn).AuthStatus(ctx, &pb.AuthStatusRequest{}); return err },
	} {
		if err := call(); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", name, err)
		}
	}
}
