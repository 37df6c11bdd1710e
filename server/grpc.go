package server

import (
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/quorumkv/quorumkv/server/drillpb"
	"github.com/quorumkv/quorumkv/server/v3electionpb"
	"github.com/quorumkv/quorumkv/server/v3lockpb"
)

// streamWorkers is how many goroutines gRPC keeps for handlers. One that is kept has grown its stack already; when all are
// busy gRPC starts others, so that long-lived streams hold up nobody. They take turns, however few are needed, and the garbage
// collector shrinks the stack of one that is idle: more than wait for an answer on a busy member cost more than they save.
const streamWorkers = 384

// What a client may have under way to a member that does not read. They are fixed: gRPC would otherwise measure the path,
// which takes a ping and its answer for nearly every request of a lone client. The stream's takes the usual largest request
// in three round trips; it is what a stream that is not read holds in memory.
const (
	streamWindowBytes     = 512 << 10
	connectionWindowBytes = 4 << 20
)

// readBufferBytes is what each connection holds to read into, for as long as it lives. It takes the requests that come
// together on one; of a large one the rest is read past it.
const readBufferBytes = 8 << 10

// newGRPCServer returns a server with every client service registered, and those that tests add. Services of etcd's that
// are not here answer Unimplemented.
func newGRPCServer(a *api, register ...func(*grpc.Server)) *grpc.Server {
	methods := methodTable{}
	options := append(a.serverOptions(methods), GRPCTuning()...)
	options = append(options, grpc.MaxConcurrentStreams(a.limits.ConcurrentStreams))
	options = append(options, a.keepAlive.options()...)
	s := grpc.NewServer(options...)
	a.registerServices(s)
	if a.drills != nil {
		drillpb.RegisterDrillServer(s, &drillServer{api: a})
	}
	registerHealth(s, a.leadership)
	for _, r := range register {
		r(s)
	}
	a.metrics.calls.enter(methods, s)
	return s
}

// GRPCTuning is how the server for clients is set for speed. The benchmark's echo server, which shows what gRPC alone does,
// takes it as well.
func GRPCTuning() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.NumStreamWorkers(streamWorkers),
		grpc.ReadBufferSize(readBufferBytes),
		grpc.StaticStreamWindowSize(streamWindowBytes),
		grpc.StaticConnWindowSize(connectionWindowBytes),
	}
}

// newInProcessServer returns the server at the other end of the member's connection to itself. Whoever comes that way has
// no business with drills.
func newInProcessServer(a *api) *grpc.Server {
	methods := methodTable{}
	s := grpc.NewServer(a.serverOptions(methods)...)
	a.registerServices(s)
	a.metrics.calls.enter(methods, s)
	return s
}

// serverOptions are what a call meets on its way to a service, wherever it comes from. methods is filled before the server
// runs, once its services are known.
func (a *api) serverOptions(methods methodTable) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCountingCodec(a.metrics)),
		grpc.UnaryInterceptor(methods.unary(a.unary)),
		grpc.StreamInterceptor(methods.stream(a.stream)),
		grpc.MaxRecvMsgSize(a.limits.RequestBytes + messageOverheadBytes),
		grpc.MaxSendMsgSize(math.MaxInt32), // a range may be as large as the store
		grpc.WaitForHandlers(true),
	}
}

func (a *api) registerServices(s *grpc.Server) {
	s.RegisterService(kvService(), &kvServer{api: a})
	pb.RegisterLeaseServer(s, &leaseServer{api: a})
	pb.RegisterWatchServer(s, a.watches)
	pb.RegisterClusterServer(s, &clusterServer{api: a})
	pb.RegisterMaintenanceServer(s, &maintenanceServer{api: a})
	v3lockpb.RegisterLockServer(s, &lockServer{queues: a.queues})
	v3electionpb.RegisterElectionServer(s, &electionServer{queues: a.queues})
}

func (k KeepAlive) options() []grpc.ServerOption {
	// Clients behind NAT ping idle connections as well: that is no offence. gRPC takes 0 for its own five minutes.
	enforcement := keepalive.EnforcementPolicy{MinTime: max(k.MinTime, 1), PermitWithoutStream: true}
	options := []grpc.ServerOption{grpc.KeepaliveEnforcementPolicy(enforcement)}
	if k.Interval > 0 && k.Timeout > 0 {
		options = append(options, grpc.KeepaliveParams(keepalive.ServerParameters{Time: k.Interval, Timeout: k.Timeout}))
	}
	return options
}
