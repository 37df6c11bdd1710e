package server

import (
	"context"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/server/v3electionpb"
	"github.com/quorumkv/quorumkv/server/v3lockpb"
)

func TestRequireLeader(t *testing.T) {
	n := newSoloNode(t)
	kv := pb.NewKVClient(serve(t, n, testConfig()).dial(t))
	get := &pb.RangeRequest{Key: []byte("k")}
	ctx := clientv3.WithRequireLeader(testContext(t))
	if _, err := kv.Range(ctx, get); err != nil {
		t.Fatal(err)
	}
	n.change(func(s *raftnode.Status) { s.Leader = 0 })
	_, err := kv.Range(ctx, get)
	checkStatus(t, err, rpctypes.ErrGRPCNoLeader)
	s, err := kv.RangeStream(ctx, get)
	if err != nil {
		t.Fatal(err)
	}
	_, err = receive(s)
	checkStatus(t, err, rpctypes.ErrGRPCNoLeader)
	if _, err := kv.Range(testContext(t), get); err != nil {
		t.Errorf("without the demand: %v", err)
	}
	if _, err := kv.Range(metadata.AppendToOutgoingContext(testContext(t), "hasleader", "yes"), get); err != nil {
		t.Errorf(`hasleader "yes": %v`, err)
	}
}

var blockDesc = grpc.StreamDesc{ServerStreams: true}

// blocking is a service with one stream that lives as long as its context.
func blocking(entered chan<- struct{}) func(*grpc.Server) {
	return func(s *grpc.Server) {
		s.RegisterService(&grpc.ServiceDesc{
			ServiceName: "etcdserverpb.Blocking",
			HandlerType: (*any)(nil),
			Streams: []grpc.StreamDesc{{StreamName: "Block", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
				entered <- struct{}{}
				<-s.Context().Done()
				return s.Context().Err()
			}}},
		}, nil)
	}
}

func TestStreamsEndWhenTheLeaderIsGoneForGood(t *testing.T) {
	n := newSoloNode(t)
	entered := make(chan struct{})
	conn := serve(t, n, testConfig(), blocking(entered)).dial(t)
	block := func(ctx context.Context) <-chan error {
		t.Helper()
		s, err := conn.NewStream(ctx, &blockDesc, "/etcdserverpb.Blocking/Block")
		if err == nil {
			err = s.CloseSend()
		}
		if err != nil {
			t.Fatal(err)
		}
		<-entered
		ended := make(chan error, 1)
		go func() { ended <- s.RecvMsg(new(pb.RangeResponse)) }()
		return ended
	}
	ctx := testContext(t)
	patient, cancel := context.WithCancel(ctx)
	needsLeader, doesNot := block(clientv3.WithRequireLeader(ctx)), block(patient)
	n.change(func(s *raftnode.Status) { s.Leader = 0 })
	checkStatus(t, <-needsLeader, rpctypes.ErrGRPCNoLeader)
	select {
	case err := <-doesNot:
		t.Errorf("a stream that did not ask for a leader ended too: %v", err)
	default:
	}
	cancel()
	<-doesNot
}

func TestClientVersion(t *testing.T) {
	e := serve(t, newSoloNode(t), testConfig())
	kv := pb.NewKVClient(e.dial(t))
	get := &pb.RangeRequest{Key: []byte("k")}
	with := func(version string) context.Context {
		return metadata.AppendToOutgoingContext(testContext(t), "client-api-version", version)
	}
	// gRPC itself refuses to send such a header, so the check is called as if it had come.
	bad := metadata.NewIncomingContext(t.Context(), metadata.Pairs("client-api-version", "\xff"))
	_, err := e.api.admit(bad, &raftnode.Status{}, e.api.metrics.unaryClients)
	checkStatus(t, err, rpctypes.ErrGRPCInvalidClientAPIVersion)

	for _, ctx := range []context.Context{with("3.7"), with("3.7"), testContext(t)} {
		if _, err := kv.Range(ctx, get); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 * maxClientVersions {
		if _, err := kv.Range(with(fmt.Sprint("made up ", i)), get); err != nil {
			t.Fatal(err)
		}
	}
	m := scrapeMetrics(t, e)
	series := `etcd_server_client_requests_total{client_api_version="%s",type="unary"}`
	for version, want := range map[string]string{
		"3.7": "2", "unknown": "1", "made up 0": "1", "made up 100": "",
		"other": fmt.Sprint(2*maxClientVersions - (maxClientVersions - 2)),
	} {
		if got := m[fmt.Sprintf(series, version)]; got != want {
			t.Errorf("version %q counted %q times, want %q", version, got, want)
		}
	}
}

func TestLearner(t *testing.T) {
	n := newSoloNode(t)
	n.change(func(s *raftnode.Status) { s.Learner = true })
	conn := serve(t, n, testConfig()).dial(t)
	ctx := testContext(t)
	kv, refused := pb.NewKVClient(conn), rpctypes.ErrGRPCNotSupportedForLearner
	get := &pb.RangeRequest{Key: []byte("k"), Serializable: true}
	if _, err := kv.Range(ctx, get); err != nil {
		t.Errorf("serializable range: %v", err)
	}
	if _, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{}); err != nil {
		t.Errorf("status: %v", err)
	}
	if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("health: %v", err)
	}
	_, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("k")})
	checkStatus(t, err, refused)
	_, err = kv.Put(ctx, &pb.PutRequest{Key: []byte("k")})
	checkStatus(t, err, refused)
	_, err = kv.Txn(ctx, &pb.TxnRequest{})
	checkStatus(t, err, refused)
	_, err = pb.NewClusterClient(conn).MemberList(ctx, &pb.MemberListRequest{})
	checkStatus(t, err, refused)
	_, err = v3lockpb.NewLockClient(conn).Unlock(ctx, &v3lockpb.UnlockRequest{Key: []byte("k")})
	checkStatus(t, err, refused)
	_, err = v3electionpb.NewElectionClient(conn).Leader(ctx, &v3electionpb.LeaderRequest{})
	checkStatus(t, err, refused)
	s, err := kv.RangeStream(ctx, get)
	if err != nil {
		t.Fatal(err)
	}
	_, err = receive(s)
	checkStatus(t, err, refused)
}

func TestPanicHitsOneRequestOnly(t *testing.T) {
	n := newSoloNode(t)
	kv := pb.NewKVClient(serve(t, n, testConfig()).dial(t))
	get := &pb.RangeRequest{Key: []byte("k")}
	n.beforeRead = func(context.Context) { panic("out of order") }
	_, err := kv.Range(testContext(t), get)
	checkStatus(t, err, errPanic)
	s, err := kv.RangeStream(testContext(t), get)
	if err != nil {
		t.Fatal(err)
	}
	_, err = receive(s)
	checkStatus(t, err, errPanic)
	if _, err := kv.Put(testContext(t), &pb.PutRequest{Key: []byte("k")}); err != nil {
		t.Errorf("after the panic: %v", err)
	}
}
