package server

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// queueStore is a store with as much of the KV, lease and watch services as queues use. Unlike a real one it does what a
// test wants at a chosen moment.
type queueStore struct {
	pb.UnimplementedKVServer
	pb.UnimplementedLeaseServer
	pb.UnimplementedWatchServer

	mu       sync.Mutex
	revision int64
	kvs      map[string]*mvccpb.KeyValue
	history  []*mvccpb.Event
	leases   map[int64]bool
	tokens   map[string]bool // that calls came with
	changed  chan struct{}   // closed and replaced at each change

	watches int // streams begun
	// compacted is how many streams of watches find everything compacted away.
	compacted int
	// afterTxn runs after each transaction, before its answer.
	afterTxn func(*pb.TxnRequest)
}

// newQueueStore serves a store through memory.
func newQueueStore(t *testing.T) (*queueStore, *queues) {
	t.Helper()
	s := &queueStore{
		revision: 1, kvs: map[string]*mvccpb.KeyValue{}, leases: map[int64]bool{}, tokens: map[string]bool{},
		changed: make(chan struct{}),
	}
	g := grpc.NewServer(grpc.WaitForHandlers(true))
	pb.RegisterKVServer(g, s)
	pb.RegisterLeaseServer(g, s)
	pb.RegisterWatchServer(g, s)
	p := newInProcess()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := unlessClosed(g.Serve(p.listener)); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		p.close()
		g.Stop()
		wg.Wait()
	})
	return s, newQueues(p.conn, 10*time.Second)
}

func (s *queueStore) header() *pb.ResponseHeader { return &pb.ResponseHeader{Revision: s.revision} }

// enter begins a call. s.mu is held until the function it returns is called.
func (s *queueStore) enter(ctx context.Context) func() {
	s.mu.Lock()
	for _, v := range metadata.ValueFromIncomingContext(ctx, "token") {
		s.tokens[v] = true
	}
	return s.mu.Unlock
}

func (s *queueStore) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	defer s.enter(ctx)()
	id := r.ID
	if id == 0 {
		id = 0x1000 + int64(len(s.leases))
	}
	s.leases[id] = true
	return &pb.LeaseGrantResponse{Header: s.header(), ID: id, TTL: r.TTL}, nil
}

func (s *queueStore) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	defer s.enter(ctx)()
	s.revoke(r.ID)
	return &pb.LeaseRevokeResponse{Header: s.header()}, nil
}

func (s *queueStore) revoke(lease int64) {
	delete(s.leases, lease)
	s.change(func() {
		for key, kv := range s.kvs {
			if kv.Lease == lease {
				s.remove([]byte(key))
			}
		}
	})
}

// change makes one revision of what f does, if it does something.
func (s *queueStore) change(f func()) {
	s.revision++
	before := len(s.history)
	f()
	if len(s.history) == before {
		s.revision--
		return
	}
	s.signal()
}

func (s *queueStore) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *queueStore) put(r *pb.PutRequest) {
	kv := &mvccpb.KeyValue{
		Key: r.Key, Value: r.Value, Lease: r.Lease, CreateRevision: s.revision, ModRevision: s.revision, Version: 1,
	}
	if old := s.kvs[string(r.Key)]; old != nil {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
		if r.IgnoreLease {
			kv.Lease = old.Lease
		}
	}
	s.kvs[string(r.Key)] = kv
	s.history = append(s.history, &mvccpb.Event{Type: mvccpb.Event_PUT, Kv: kv})
}

func (s *queueStore) remove(key []byte) {
	if s.kvs[string(key)] != nil {
		delete(s.kvs, string(key))
		kv := &mvccpb.KeyValue{Key: key, ModRevision: s.revision}
		s.history = append(s.history, &mvccpb.Event{Type: mvccpb.Event_DELETE, Kv: kv})
	}
}

func (s *queueStore) Range(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	defer s.enter(ctx)()
	return s.find(r), nil
}

func (s *queueStore) find(r *pb.RangeRequest) *pb.RangeResponse {
	var kvs []*mvccpb.KeyValue
	for _, key := range slices.Sorted(maps.Keys(s.kvs)) {
		kv := s.kvs[key]
		if inSpan([]byte(key), r.Key, r.RangeEnd) && (r.MaxCreateRevision == 0 || kv.CreateRevision <= r.MaxCreateRevision) {
			kvs = append(kvs, kv)
		}
	}
	slices.SortStableFunc(kvs, func(a, b *mvccpb.KeyValue) int {
		if r.SortOrder == pb.RangeRequest_DESCEND {
			a, b = b, a
		}
		return cmp.Compare(a.CreateRevision, b.CreateRevision)
	})
	if r.Limit > 0 && int64(len(kvs)) > r.Limit {
		kvs = kvs[:r.Limit]
	}
	return &pb.RangeResponse{Header: s.header(), Kvs: kvs}
}

func inSpan(key, from, end []byte) bool {
	if len(end) == 0 {
		return bytes.Equal(key, from)
	}
	return bytes.Compare(key, from) >= 0 && bytes.Compare(key, end) < 0
}

func (s *queueStore) DeleteRange(ctx context.Context, r *pb.DeleteRangeRequest) (*pb.DeleteRangeResponse, error) {
	defer s.enter(ctx)()
	if len(r.Key) == 0 {
		return nil, rpctypes.ErrGRPCEmptyKey
	}
	s.change(func() { s.remove(r.Key) })
	return &pb.DeleteRangeResponse{Header: s.header()}, nil
}

func (s *queueStore) Txn(ctx context.Context, r *pb.TxnRequest) (*pb.TxnResponse, error) {
	defer s.enter(ctx)()
	resp := &pb.TxnResponse{Succeeded: true}
	for _, c := range r.Compare {
		kv := s.kvs[string(c.Key)]
		switch want := c.TargetUnion.(type) {
		case *pb.Compare_CreateRevision:
			resp.Succeeded = resp.Succeeded && kv.GetCreateRevision() == want.CreateRevision
		case *pb.Compare_Lease:
			resp.Succeeded = resp.Succeeded && kv.GetLease() == want.Lease
		}
	}
	ops := r.Failure
	if resp.Succeeded {
		ops = r.Success
	}
	for _, op := range ops {
		if p := op.GetRequestPut(); p != nil && p.Lease != 0 && !s.leases[p.Lease] {
			return nil, rpctypes.ErrGRPCLeaseNotFound
		}
	}
	s.change(func() {
		for _, op := range ops {
			if p := op.GetRequestPut(); p != nil {
				s.put(p)
			}
			if d := op.GetRequestDeleteRange(); d != nil {
				s.remove(d.Key)
			}
		}
	})
	for _, op := range ops {
		out := &pb.ResponseOp{}
		if r := op.GetRequestRange(); r != nil {
			out.Response = &pb.ResponseOp_ResponseRange{ResponseRange: proto.CloneOf(s.find(r))}
		}
		resp.Responses = append(resp.Responses, out)
	}
	resp.Header = s.header()
	if s.afterTxn != nil {
		s.afterTxn(r)
	}
	return resp, nil
}

// Watch sends to each watch of a stream what happens from its start on.
func (s *queueStore) Watch(stream pb.Watch_WatchServer) error {
	creates := make(chan *pb.WatchCreateRequest)
	go func() {
		defer close(creates)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case creates <- r.GetCreateRequest():
			case <-stream.Context().Done():
				return
			}
		}
	}()
	s.mu.Lock()
	s.watches++
	s.signal()
	compacted := s.compacted > 0
	if compacted {
		s.compacted--
	}
	s.mu.Unlock()
	var watches []*pb.WatchCreateRequest
	for {
		s.mu.Lock()
		changed := s.changed
		var out []*pb.WatchResponse
		for id, w := range watches {
			if compacted {
				out = append(out, &pb.WatchResponse{WatchId: int64(id), Canceled: true, CompactRevision: s.revision})
				continue
			}
			out = append(out, &pb.WatchResponse{Header: s.header(), WatchId: int64(id), Events: s.since(w)})
			w.StartRevision = s.revision + 1
		}
		s.mu.Unlock()
		for _, resp := range out {
			if err := stream.Send(resp); err != nil {
				return err
			}
		}
		select {
		case w, ok := <-creates:
			if !ok {
				return nil
			}
			watches = append(watches, w)
		case <-changed:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (s *queueStore) since(w *pb.WatchCreateRequest) []*mvccpb.Event {
	var events []*mvccpb.Event
	for _, ev := range s.history {
		filtered := slices.Contains(w.Filters, pb.WatchCreateRequest_NOPUT) && ev.Type == mvccpb.Event_PUT ||
			slices.Contains(w.Filters, pb.WatchCreateRequest_NODELETE) && ev.Type == mvccpb.Event_DELETE
		if ev.Kv.ModRevision >= w.StartRevision && inSpan(ev.Kv.Key, w.Key, w.RangeEnd) && !filtered {
			events = append(events, ev)
		}
	}
	return events
}

// await waits until f is true of the store.
func (s *queueStore) await(t *testing.T, what string, f func() bool) {
	t.Helper()
	ctx := testContext(t)
	for {
		s.mu.Lock()
		ok, changed := f(), s.changed
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%s: it never came to that", what)
		}
	}
}

// keys returns the keys in the order of their creation. s.mu is held.
func (s *queueStore) keys() []string {
	keys := slices.Collect(maps.Keys(s.kvs))
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(s.kvs[a].CreateRevision, s.kvs[b].CreateRevision) })
	return keys
}
