package server

import (
	"errors"
	"io"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/raftnode"
)

func TestLeaseGrant(t *testing.T) {
	cfg := testConfig()
	cfg.MinLeaseTTL = 2
	c := serve(t, newSoloNode(t), cfg).client(t)
	ctx := testContext(t)
	seen := map[clientv3.LeaseID]bool{}
	for _, tc := range []struct{ ttl, want int64 }{{0, 2}, {-5, 2}, {1, 2}, {2, 2}, {3, 3}, {9_000_000_000, 9_000_000_000}} {
		r, err := c.Grant(ctx, tc.ttl)
		if err != nil || r.TTL != tc.want || r.ID <= 0 || seen[r.ID] {
			t.Errorf("ttl %d: %+v, %v", tc.ttl, r, err)
			continue
		}
		seen[r.ID] = true
		checkHeader(t, r.ResponseHeader, 1)
	}
	if _, err := c.Grant(ctx, 9_000_000_001); !errors.Is(err, rpctypes.ErrLeaseTTLTooLarge) {
		t.Errorf("too large: %v", err)
	}
	raw := pb.NewLeaseClient(c.ActiveConnection())
	for _, id := range []int64{7, -7} {
		grant := &pb.LeaseGrantRequest{ID: id, TTL: 10}
		if r, err := raw.LeaseGrant(ctx, grant); err != nil || r.ID != id || r.TTL != 10 {
			t.Errorf("id %d: %v, %v", id, r, err)
		}
		_, err := raw.LeaseGrant(ctx, grant)
		checkStatus(t, err, rpctypes.ErrGRPCLeaseExist)
	}
}

func TestLeaseLife(t *testing.T) {
	c := serve(t, newSoloNode(t), testConfig()).client(t)
	ctx := testContext(t)
	long, err := c.Grant(ctx, 100)
	if err != nil {
		t.Fatal(err)
	}
	short, err := c.Grant(ctx, 50)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"b", "a"} {
		if _, err := c.Put(ctx, key, "v", clientv3.WithLease(long.ID)); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := c.Leases(ctx); err != nil || len(r.Leases) != 2 || r.Leases[0].ID != short.ID || r.Leases[1].ID != long.ID {
		t.Errorf("leases %+v, %v", r, err)
	} else {
		checkHeader(t, r.ResponseHeader, 3)
	}
	r, err := c.TimeToLive(ctx, long.ID, clientv3.WithAttachedKeys())
	if err != nil || r.TTL != 100 || r.GrantedTTL != 100 || len(r.Keys) != 2 || string(r.Keys[0]) != "a" {
		t.Errorf("time to live %+v, %v", r, err)
	}
	if r, err := c.TimeToLive(ctx, long.ID); err != nil || r.Keys != nil {
		t.Errorf("time to live without keys %+v, %v", r, err)
	}
	revoked, err := c.Revoke(ctx, long.ID)
	if err != nil {
		t.Fatal(err)
	}
	checkHeader(t, revoked.Header, 4)
	if r, err := c.Get(ctx, "", clientv3.WithPrefix()); err != nil || r.Count != 0 {
		t.Errorf("keys after the revocation: %v, %v", r, err)
	}
	if r, err := c.TimeToLive(ctx, long.ID); err != nil || r.TTL != -1 || r.GrantedTTL != 0 {
		t.Errorf("time to live of a revoked lease %+v, %v", r, err)
	}
	if _, err := c.Revoke(ctx, long.ID); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("second revocation: %v", err)
	}
	if _, err := c.KeepAliveOnce(ctx, long.ID); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("keep-alive of a revoked lease: %v", err)
	}
	if r, err := c.KeepAliveOnce(ctx, short.ID); err != nil || r.TTL != 50 {
		t.Errorf("keep-alive: %+v, %v", r, err)
	}
}

// lateNode answers renewals when the test wants it.
type lateNode struct {
	*soloNode
	renewals chan func(ttl int64, err error)
}

func (n *lateNode) RenewLease(_ int64, done func(int64, error)) { n.renewals <- done }

func keepAliveStreamOf(t *testing.T, n node) pb.Lease_LeaseKeepAliveClient {
	t.Helper()
	s, err := pb.NewLeaseClient(serve(t, n, testConfig()).dial(t)).LeaseKeepAlive(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Keep-alives of one stream do not wait for each other; the stream's end waits for all of them.
func TestKeepAlivesOverlap(t *testing.T) {
	n := &lateNode{newSoloNode(t), make(chan func(int64, error), 10)}
	s := keepAliveStreamOf(t, n)
	for id := range int64(3) {
		if err := s.Send(&pb.LeaseKeepAliveRequest{ID: id + 1}); err != nil {
			t.Fatal(err)
		}
	}
	first, second, third := <-n.renewals, <-n.renewals, <-n.renewals
	second(5, nil)
	if r, err := s.Recv(); err != nil || r.ID != 2 || r.TTL != 5 {
		t.Errorf("second: %v, %v", r, err)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	third(raftnode.NoLease, nil)
	if r, err := s.Recv(); err != nil || r.ID != 3 || r.TTL != 0 {
		t.Errorf("third: %v, %v", r, err)
	}
	first(7, nil)
	if r, err := s.Recv(); err != nil || r.ID != 1 || r.TTL != 7 {
		t.Errorf("first: %v, %v", r, err)
	}
	if r, err := s.Recv(); err != io.EOF {
		t.Errorf("end: %v, %v", r, err)
	}
}

// The revision of a keep-alive's header is from before the renewal.
func TestKeepAliveHeader(t *testing.T) {
	n := &lateNode{newSoloNode(t), make(chan func(int64, error), 10)}
	s := keepAliveStreamOf(t, n)
	if err := s.Send(&pb.LeaseKeepAliveRequest{ID: 1}); err != nil {
		t.Fatal(err)
	}
	done := <-n.renewals
	put := &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("k")}}
	if _, err := n.Propose(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	done(5, nil)
	r, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	checkHeader(t, r.Header, 1)
}

// A renewal that nobody confirms ends the stream, so that the client goes elsewhere.
func TestUnconfirmedKeepAliveEndsTheStream(t *testing.T) {
	for _, tc := range []struct{ err, want error }{
		{raftnode.ErrNoLeader, rpctypes.ErrGRPCNoLeader},
		{raftnode.ErrTimeout, rpctypes.ErrGRPCTimeout},
		{raftnode.ErrTooManyRequests, rpctypes.ErrGRPCRequestTooManyRequests},
	} {
		n := newSoloNode(t)
		n.renewError = tc.err
		s := keepAliveStreamOf(t, n)
		if err := s.Send(&pb.LeaseKeepAliveRequest{ID: 1}); err != nil {
			t.Fatal(err)
		}
		_, err := s.Recv()
		checkStatus(t, err, tc.want)
	}
}

// A client that reads no answers has only so many keep-alives on their way.
func TestKeepAlivesAreBounded(t *testing.T) {
	n := &lateNode{newSoloNode(t), make(chan func(int64, error), 2*maxStreamKeepAlives)}
	s := keepAliveStreamOf(t, n)
	for id := range int64(maxStreamKeepAlives + 10) {
		if err := s.Send(&pb.LeaseKeepAliveRequest{ID: id + 1}); err != nil {
			t.Fatal(err)
		}
	}
	for range maxStreamKeepAlives {
		defer (<-n.renewals)(1, nil)
	}
	select {
	case <-n.renewals:
		t.Error("one more")
	case <-time.After(50 * time.Millisecond): // nothing tells that it will not come
	}
}

func TestLearnerServesNoLeases(t *testing.T) {
	n := newSoloNode(t)
	n.change(func(s *raftnode.Status) { s.Learner = true })
	s := keepAliveStreamOf(t, n)
	_, err := s.Recv()
	checkStatus(t, err, rpctypes.ErrGRPCNotSupportedForLearner)
	_, err = pb.NewLeaseClient(serve(t, n, testConfig()).dial(t)).LeaseLeases(testContext(t), &pb.LeaseLeasesRequest{})
	checkStatus(t, err, rpctypes.ErrGRPCNotSupportedForLearner)
}

func TestMinLeaseTTL(t *testing.T) {
	for _, tc := range []struct {
		heartbeat, election time.Duration
		want                int64
	}{
		{100 * time.Millisecond, time.Second, 2},
		{100 * time.Millisecond, 2 * time.Second, 3},
		{300 * time.Millisecond, 3 * time.Second, 5}, // 4.5 s
		{10 * time.Millisecond, 50 * time.Millisecond, 1},
		{100 * time.Millisecond, 700 * time.Millisecond, 1}, // ten and a half ticks count as ten
	} {
		if got := minLeaseTTL(tc.heartbeat, tc.election); got != tc.want {
			t.Errorf("heartbeat %v, election %v: %d, want %d", tc.heartbeat, tc.election, got, tc.want)
		}
	}
}

// A full store takes no more leases, and lets them be revoked.
func TestLeasesAndTheQuota(t *testing.T) {
	m := newMember(func(func()) {}, Limits{QuotaBytes: 10}.withDefaults())
	m.publish(raftnode.Status{}, newSoloNode(t).View())
	if err := m.checkQuota(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: 1, TTL: 1}}); err != raftnode.ErrNoSpace {
		t.Errorf("grant: %v", err)
	}
	if err := m.checkQuota(&pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: 1}}); err != nil {
		t.Errorf("revoke: %v", err)
	}
}

// A whole member, with its own clock: a lease lives while it is kept alive, and not much longer.
func TestLeaseExpires(t *testing.T) {
	cfg := anyPort(t)
	cfg.HeartbeatInterval, cfg.ElectionTimeout = 10*time.Millisecond, 50*time.Millisecond // the least TTL is 1 s
	c := run(t, cfg).client(t)
	ctx := testContext(t)
	lease, err := c.Grant(ctx, 1)
	if err != nil || lease.TTL != 1 {
		t.Fatal(lease, err)
	}
	if _, err := c.Put(ctx, "k", "v", clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	start, renewed := time.Now(), time.Now()
	for time.Since(start) < 1500*time.Millisecond {
		renewed = time.Now()
		if r, err := c.KeepAliveOnce(ctx, lease.ID); err != nil || r.TTL != 1 {
			t.Fatalf("keep-alive after %v: %v, %v", time.Since(start), r, err)
		}
	}
	for {
		r, err := c.Get(ctx, "k")
		if err != nil {
			t.Fatal(err)
		}
		if r.Count == 0 {
			break
		}
		if r, err := c.TimeToLive(ctx, lease.ID); err != nil || r.TTL > 1 {
			t.Fatalf("time to live %+v, %v", r, err)
		}
	}
	if lived := time.Since(renewed); lived < time.Second {
		t.Errorf("gone %v after the last keep-alive", lived)
	}
	if r, err := c.TimeToLive(ctx, lease.ID); err != nil || r.TTL != -1 {
		t.Errorf("time to live afterwards %+v, %v", r, err)
	}
}
