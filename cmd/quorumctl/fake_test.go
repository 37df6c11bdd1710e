package main

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// fake is a server of the API that writes down each request and answers always the same: what quorumctl prints and
// sends can then be kept in files.
type fake struct {
	pb.UnimplementedKVServer
	pb.UnimplementedWatchServer
	pb.UnimplementedLeaseServer
	pb.UnimplementedClusterServer
	pb.UnimplementedMaintenanceServer
	pb.UnimplementedAuthServer

	address string

	mu       sync.Mutex
	requests []string             // guarded by mu
	errors   map[string]error     // guarded by mu; by method, what it answers instead
	alarms   []pb.AlarmType       // guarded by mu
	watches  map[watchOnConn]bool // guarded by mu
	drills   fakeDrills           // for one test's goroutine
}

func startFake(t *testing.T, options ...grpc.ServerOption) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{address: l.Addr().String(), errors: map[string]error{}, watches: map[watchOnConn]bool{}}
	server := grpc.NewServer(options...)
	pb.RegisterKVServer(server, f)
	pb.RegisterWatchServer(server, f)
	pb.RegisterLeaseServer(server, f)
	pb.RegisterClusterServer(server, f)
	pb.RegisterMaintenanceServer(server, f)
	pb.RegisterAuthServer(server, f)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if len(options) == 0 { // no TLS: metrics beside gRPC
			server.Serve(serveMetrics(t, l))
		} else {
			server.Serve(l)
		}
	}()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	return f
}

// fail makes a method answer with an error, or again with its answer when text is empty.
func (f *fake) fail(method string, code codes.Code, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.errors, method)
	if text != "" {
		f.errors[method] = status.Error(code, text)
	}
}

func (f *fake) raise(alarms ...pb.AlarmType) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alarms = alarms
}

// take returns the requests since it was last called.
func (f *fake) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.requests
	f.requests = nil
	return taken
}

// record writes a request down and returns the error that its method is to answer with. The text form of protobuf
// adds spaces at random, so that nobody relies on it; record takes them out.
func (f *fake) record(method string, request proto.Message) error {
	text := strings.ReplaceAll(prototext.MarshalOptions{}.Format(request), "  ", " ")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, strings.TrimSpace(method+" "+text))
	return f.errors[method]
}

func fakeHeader() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 0xcdf818194e3a8c32, MemberId: 0x8e9e05c52164694d, Revision: 42, RaftTerm: 7}
}

// fakePairs hold what printers may stumble over: an empty value, a lease, quotes, markup and bytes that are no text.
func fakePairs() []*mvccpb.KeyValue {
	return []*mvccpb.KeyValue{
		{Key: []byte("greeting"), Value: []byte("hello"), CreateRevision: 2, ModRevision: 40, Version: 3},
		{Key: []byte("leer"), CreateRevision: 5, ModRevision: 5, Version: 1, Lease: 0x694d8f1c0a2b3c01},
		{Key: []byte("odd\x00\xff"), Value: []byte("two\nlines \"and\" <html> ü"), CreateRevision: 41, ModRevision: 41,
			Version: 1},
	}
}

// fakeRange lets whoever wants a lock or an election be the first, and checks find no keys of their own.
func fakeRange(r *pb.RangeRequest) *pb.RangeResponse {
	if strings.HasPrefix(string(r.Key), "/etcdctl-check-") {
		return &pb.RangeResponse{Header: fakeHeader()}
	}
	if r.SortTarget == pb.RangeRequest_CREATE && r.Limit == 1 {
		answer := &pb.RangeResponse{Header: fakeHeader()}
		if r.MaxCreateRevision == 0 {
			answer.Kvs = []*mvccpb.KeyValue{{Key: []byte("first"), Value: []byte("proposal"), CreateRevision: 42}}
		}
		return answer
	}
	if r.GetCountOnly() {
		return &pb.RangeResponse{Header: fakeHeader(), Count: 17}
	}
	return &pb.RangeResponse{Header: fakeHeader(), Kvs: fakePairs(), More: true, Count: 17}
}

func fakePut(r *pb.PutRequest) *pb.PutResponse {
	answer := &pb.PutResponse{Header: fakeHeader()}
	if r.GetPrevKv() {
		answer.PrevKv = fakePairs()[0]
	}
	return answer
}

func fakeDelete(r *pb.DeleteRangeRequest) *pb.DeleteRangeResponse {
	answer := &pb.DeleteRangeResponse{Header: fakeHeader(), Deleted: 3}
	if r.GetPrevKv() {
		answer.PrevKvs = fakePairs()
	}
	return answer
}

func (f *fake) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	if err := f.record("Range", r); err != nil {
		return nil, err
	}
	return fakeRange(r), nil
}

// RangeStream sends each pair alone, then the rest of the answer.
func (f *fake) RangeStream(r *pb.RangeRequest, stream grpc.ServerStreamingServer[pb.RangeStreamResponse]) error {
	if err := f.record("RangeStream", r); err != nil {
		return err
	}
	answer := fakeRange(r)
	for _, kv := range answer.Kvs {
		piece := &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{kv}}
		if err := stream.Send(&pb.RangeStreamResponse{RangeResponse: piece}); err != nil {
			return err
		}
	}
	answer.Kvs = nil
	return stream.Send(&pb.RangeStreamResponse{RangeResponse: answer})
}

func (f *fake) Put(_ context.Context, r *pb.PutRequest) (*pb.PutResponse, error) {
	if err := f.record("Put", r); err != nil {
		return nil, err
	}
	return fakePut(r), nil
}

func (f *fake) DeleteRange(_ context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	if err := f.record("DeleteRange", r); err != nil {
		return nil, err
	}
	return fakeDelete(r), nil
}

// Txn takes the success branch when there is one, and answers its requests as if they came alone.
func (f *fake) Txn(_ context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	if err := f.record("Txn", r); err != nil {
		return nil, err
	}
	answer := &pb.TxnResponse{Header: fakeHeader(), Succeeded: len(r.Success) > 0}
	ops := r.Success
	if !answer.Succeeded {
		ops = r.Failure
	}
	for _, op := range ops {
		var one pb.ResponseOp
		switch op := op.GetRequest().(type) {
		case *pb.RequestOp_RequestPut:
			one.Response = &pb.ResponseOp_ResponsePut{ResponsePut: fakePut(op.RequestPut)}
		case *pb.RequestOp_RequestRange:
			one.Response = &pb.ResponseOp_ResponseRange{ResponseRange: fakeRange(op.RequestRange)}
		case *pb.RequestOp_RequestDeleteRange:
			one.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: fakeDelete(op.RequestDeleteRange)}
		}
		answer.Responses = append(answer.Responses, &one)
	}
	return answer, nil
}

func (f *fake) Compact(_ context.Context, r *pb.CompactionRequest) (*pb.CompactionResponse, error) {
	if err := f.record("Compact", r); err != nil {
		return nil, err
	}
	return &pb.CompactionResponse{Header: fakeHeader()}, nil
}

// MemberList has a member that runs, a learner, and one that never started. Its header has no revision.
func (f *fake) MemberList(_ context.Context, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	if err := f.record("MemberList", r); err != nil {
		return nil, err
	}
	header := fakeHeader()
	header.Revision = 0
	return &pb.MemberListResponse{Header: header, Members: []*pb.Member{
		{ID: 0x8e9e05c52164694d, Name: "n1", PeerURLs: []string{"http://10.0.0.1:2380"},
			ClientURLs: []string{"http://" + f.address}},
		{ID: 0xfd422379fda50e48, Name: "n2", PeerURLs: []string{"http://10.0.0.2:2380", "http://10.1.0.2:2380"},
			ClientURLs: []string{"http://" + f.address}, IsLearner: true},
		{ID: 0x1f, PeerURLs: []string{"http://10.0.0.3:2380"}},
	}}, nil
}

func (f *fake) Status(_ context.Context, r *pb.StatusRequest) (*pb.StatusResponse, error) {
	if err := f.record("Status", r); err != nil {
		return nil, err
	}
	return &pb.StatusResponse{
		Header: fakeHeader(), Version: "3.7.3", StorageVersion: "3.7.0", DbSize: 24576, DbSizeInUse: 16385,
		DbSizeQuota: 2 << 30, Leader: 0x8e9e05c52164694d, RaftIndex: 1234, RaftTerm: 7, RaftAppliedIndex: 1233,
		Errors: []string{"memberID:1 alarm:NOSPACE ", "etcdserver: no leader"}, IsLearner: true,
		DowngradeInfo: &pb.DowngradeInfo{Enabled: true, TargetVersion: "3.6.0"},
	}, nil
}

func (f *fake) HashKV(_ context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	if err := f.record("HashKV", r); err != nil {
		return nil, err
	}
	return &pb.HashKVResponse{Header: fakeHeader(), Hash: 3015445434, CompactRevision: 10, HashRevision: 42}, nil
}

func (f *fake) MoveLeader(_ context.Context, r *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	if err := f.record("MoveLeader", r); err != nil {
		return nil, err
	}
	return &pb.MoveLeaderResponse{Header: fakeHeader()}, nil
}

func (f *fake) Alarm(_ context.Context, r *pb.AlarmRequest) (*pb.AlarmResponse, error) {
	if err := f.record("Alarm", r); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := &pb.AlarmResponse{Header: fakeHeader()}
	for _, a := range f.alarms {
		if r.Alarm == pb.AlarmType_NONE || r.Alarm == a {
			answer.Alarms = append(answer.Alarms, &pb.AlarmMember{MemberID: 0x8e9e05c52164694d, Alarm: a})
		}
	}
	if r.Action == pb.AlarmRequest_DEACTIVATE {
		f.alarms = slices.DeleteFunc(f.alarms, func(a pb.AlarmType) bool { return a == r.Alarm })
	}
	return answer, nil
}

func (f *fake) Authenticate(_ context.Context, r *pb.AuthenticateRequest) (*pb.AuthenticateResponse, error) {
	if err := f.record("Authenticate", r); err != nil {
		return nil, err
	}
	return &pb.AuthenticateResponse{Header: fakeHeader(), Token: "token"}, nil
}
