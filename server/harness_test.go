package server

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
	"github.com/quorumkv/quorumkv/storage/watch"
)

const (
	testCluster  = 0xc1
	testMember   = 0x1
	testElection = 50 * time.Millisecond
	testTerm     = 7
)

// soloNode is a node without raft: a real state machine that applies each write as it comes.
type soloNode struct {
	limit int

	mu      sync.Mutex // held while a write is applied, and for everything that runs on a node's loop
	watches *watch.Hub
	machine *apply.Machine
	index   uint64
	counter uint64

	view   atomic.Pointer[apply.View]
	status atomic.Pointer[raftnode.Status]

	// What a test wants to go wrong; set before use.
	proposeError, readError error
	renewError              error
	transfer                func(target uint64) error  // TransferLeadership
	beforeRead              func(context.Context)      // runs in Read
	oldView                 *apply.View                // what Read returns, instead of the newest
	oldViewOnce             atomic.Pointer[apply.View] // what the next call of View returns
	reads                   atomic.Int64               // calls of Read
}

func newSoloNode(t testing.TB, members ...apply.Member) *soloNode {
	t.Helper()
	if members == nil {
		members = []apply.Member{{ID: testMember, PeerURLs: []string{"http://a:2380"}}}
	}
	db, err := backend.Create(memfs.New(1, t.TempDir()), "state", backend.Options{NoSync: true},
		apply.InitialBatch(testCluster, members))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	machine, err := apply.Open(db, testCluster, mvcc.Recent{Rows: -1, Bytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	n := &soloNode{limit: Limits{}.withDefaults().RequestBytes, machine: machine}
	n.watches = watch.NewHub(func() time.Duration { return time.Hour }, func(d time.Duration, f func()) func() {
		t := time.AfterFunc(d, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			f()
		})
		return func() { t.Stop() }
	})
	n.watches.Advance(machine.View().KV)
	n.index, _ = machine.Applied()
	n.view.Store(machine.View())
	n.status.Store(&raftnode.Status{
		Leader: testMember, Role: raft.StateLeader, Term: testTerm, Commit: n.index, Applied: n.index,
	})
	return n
}

// change edits the status.
func (n *soloNode) change(f func(*raftnode.Status)) {
	s := *n.status.Load()
	f(&s)
	n.status.Store(&s)
}

func (n *soloNode) Propose(_ context.Context, r *pb.InternalRaftRequest) (apply.Response, error) {
	if n.proposeError != nil {
		return apply.Response{}, n.proposeError
	}
	request, err := proto.Marshal(r)
	if err != nil {
		return apply.Response{}, err
	}
	if len(request) > n.limit {
		return apply.Response{}, raftnode.ErrTooLarge
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.index++
	n.counter++
	id := apply.RequestID{Member: testMember, Epoch: 1, Counter: n.counter}
	entry := &raftpb.Entry{
		Index: new(n.index), Term: new(uint64(testTerm)), Data: apply.EncodeBatch([]apply.Command{{ID: id, Request: request}}),
	}
	out, err := n.machine.Apply([]*raftpb.Entry{entry}, apply.RequestID{Member: testMember, Epoch: 1})
	if err != nil {
		return apply.Response{}, err
	}
	n.view.Store(out.View)
	n.watches.Advance(out.View.KV)
	n.change(func(s *raftnode.Status) { s.Commit, s.Applied = n.index, n.index })
	if r.GetCompaction().GetPhysical() {
		for !n.machine.CompactStep() {
		}
		err = n.machine.Flush()
	}
	if err != nil {
		return apply.Response{}, err
	}
	return out.Results[0].Response, out.Results[0].Err
}

func (n *soloNode) Read(ctx context.Context) (*apply.View, error) {
	n.reads.Add(1)
	if n.beforeRead != nil {
		n.beforeRead(ctx)
	}
	if n.readError != nil {
		return nil, n.readError
	}
	if n.oldView != nil {
		return n.oldView, nil
	}
	return n.view.Load(), ctx.Err()
}

func (n *soloNode) Watch(ctx context.Context) (*watchFeed, error) {
	post := func(f func()) {
		n.mu.Lock()
		defer n.mu.Unlock()
		f()
	}
	return openWatchFeed(ctx, post, nil, func(give func(*watch.Work)) (*watch.Stream, error) { return n.watches.Open(give), nil })
}

// The node has no clock: what remains of a lease is always its whole time to live.

func (n *soloNode) RenewLease(id int64, done func(ttl int64, err error)) {
	if n.renewError != nil {
		done(0, n.renewError)
		return
	}
	s, found, _ := n.QueryLease(context.Background(), id, false)
	if !found {
		s.Granted = raftnode.NoLease
	}
	done(s.Granted, nil)
}

func (n *soloNode) QueryLease(_ context.Context, id int64, keys bool) (raftnode.LeaseStatus, bool, error) {
	list, err := n.Leases(context.Background())
	for _, s := range list {
		if s.ID == id {
			n.mu.Lock()
			defer n.mu.Unlock()
			if keys {
				s.Keys, _ = n.machine.LeaseKeys(id)
			}
			return s, true, n.readError
		}
	}
	return raftnode.LeaseStatus{}, false, errors.Join(err, n.readError)
}

func (n *soloNode) TransferLeadership(_ context.Context, target uint64) error {
	return n.transfer(target)
}

func (n *soloNode) Leases(context.Context) ([]raftnode.LeaseStatus, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []raftnode.LeaseStatus
	for _, l := range n.machine.Leases() {
		list = append(list, raftnode.LeaseStatus{ID: l.ID, Granted: l.TTL, Remaining: time.Duration(l.TTL) * time.Second})
	}
	return list, nil
}

// flush writes everything to the state file.
func (n *soloNode) flush(t testing.TB) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.machine.Flush(); err != nil {
		t.Fatal(err)
	}
	n.view.Store(n.machine.View())
	n.watches.Advance(n.machine.View().KV)
}

func (n *soloNode) View() *apply.View {
	if v := n.oldViewOnce.Swap(nil); v != nil {
		return v
	}
	return n.view.Load()
}

func (n *soloNode) Status() raftnode.Status { return *n.status.Load() }

func (n *soloNode) Damaged(error) {}

// edge is a client port in front of a node, on loopback.
type edge struct {
	api  *api
	port *clientPort
	addr string
	stop func()
}

func testConfig() apiConfig {
	return apiConfig{
		ClusterID: testCluster, MemberID: testMember, ElectionTimeout: testElection,
		Sizes: func() (int64, int64) { return 65536, 32768 },
	}
}

// testAPI makes the services for a test that calls them itself; serve is for those that come from outside.
func testAPI(t testing.TB, n node, cfg apiConfig) *api {
	a := newAPI(n, cfg)
	t.Cleanup(a.self.close)
	return a
}

// serve starts an edge. It is stopped, and waited for, when the test ends.
func serve(t testing.TB, n node, cfg apiConfig, register ...func(*grpc.Server)) *edge {
	t.Helper()
	a := newAPI(n, cfg)
	g := newGRPCServer(a, register...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{api: a, port: newClientPort(a, g, newHTTPServer(a)), addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { a.leadership.Run(ctx) })
	wg.Go(func() {
		if err := e.port.ServeSelf(); err != nil {
			t.Errorf("serve the member itself: %v", err)
		}
	})
	wg.Go(func() {
		if err := e.port.Serve(l); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	e.stop = sync.OnceFunc(func() {
		cancel()
		expired, cancel := context.WithCancel(context.Background())
		cancel()
		e.port.Shutdown(expired)
		wg.Wait()
	})
	t.Cleanup(e.stop)
	return e
}

// dial returns a plain gRPC connection.
func (e *edge) dial(t testing.TB, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(e.addr, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// client returns etcd's own client.
func (e *edge) client(t testing.TB) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{e.addr}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// testContext bounds a test that would otherwise hang.
func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// testSeed returns the seed that repeats a randomised test, from the environment, or 0.
func testSeed() uint64 {
	seed, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	return seed
}
