package server

import (
	"context"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/server/v3electionpb"
)

// elected is what a call of Campaign ended with.
type elected struct {
	resp *v3electionpb.CampaignResponse
	err  error
}

// campaign calls Campaign and does not wait for it. The channel is sent to once.
func campaign(ctx context.Context, e *electionServer, lease int64, value string) <-chan elected {
	ended := make(chan elected, 1)
	go func() {
		resp, err := e.Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte("n"), Lease: lease, Value: []byte(value)})
		ended <- elected{resp, err}
	}()
	return ended
}

// newElection returns an election service on a store with leases 1 to 9.
func newElection(t *testing.T) (*queueStore, *electionServer) {
	s, l := newLock(t)
	return s, &electionServer{queues: l.queues}
}

// observe streams into a channel until the test ends.
func observe(t *testing.T, e *electionServer) <-chan *v3electionpb.LeaderResponse {
	t.Helper()
	o := &observer{ctx: testContext(t), seen: make(chan *v3electionpb.LeaderResponse)}
	ctx, cancel := context.WithCancel(o.ctx)
	o.ctx = ctx
	ended := make(chan error, 1)
	go func() { ended <- e.Observe(&v3electionpb.LeaderRequest{Name: []byte("n")}, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Errorf("Observe ended with %v", err)
		}
	})
	return o.seen
}

type observer struct {
	grpc.ServerStream
	ctx  context.Context
	seen chan *v3electionpb.LeaderResponse
}

func (o *observer) Context() context.Context { return o.ctx }

func (o *observer) Send(r *v3electionpb.LeaderResponse) error {
	select {
	case o.seen <- r:
		return nil
	case <-o.ctx.Done():
		return o.ctx.Err()
	}
}

func TestElection(t *testing.T) {
	s, e := newElection(t)
	ctx := testContext(t)
	seen := observe(t, e)
	expect := func(key, value string) {
		t.Helper()
		select {
		case r := <-seen:
			if string(r.Kv.Key) != key || string(r.Kv.Value) != value || r.Header.Revision < r.Kv.ModRevision {
				t.Errorf("observed %v, want %s=%s", r, key, value)
			}
		case <-ctx.Done():
			t.Fatalf("%s=%s is not observed", key, value)
		}
	}
	_, err := e.Leader(ctx, &v3electionpb.LeaderRequest{Name: []byte("n")})
	checkBare(t, err, "election: no leader")
	s.await(t, "the observer waits", func() bool { return s.watches == 1 })

	first := <-campaign(ctx, e, 1, "a")
	if first.err != nil {
		t.Fatal(first.err)
	}
	l := first.resp.Leader
	if string(l.Name) != "n" || string(l.Key) != "n/1" || l.Rev != 2 || l.Lease != 1 || first.resp.Header.Revision != 2 {
		t.Errorf("elected: %v", first.resp)
	}
	expect("n/1", "a")
	s.await(t, "the observer follows", func() bool { return s.watches == 2 })

	second := campaign(ctx, e, 2, "b")
	s.await(t, "the second waits", func() bool { return s.watches == 3 })
	if _, err := e.Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: l, Value: []byte("a2")}); err != nil {
		t.Fatal(err)
	}
	expect("n/1", "a2")
	// Who leads already and campaigns again changes the value.
	again := <-campaign(ctx, e, 1, "a3")
	if again.err != nil || again.resp.Leader.Rev != l.Rev {
		t.Errorf("again: %v", again)
	}
	expect("n/1", "a3")
	// Without a lease the key's own stays.
	bare := &v3electionpb.LeaderKey{Key: l.Key, Rev: l.Rev}
	if _, err := e.Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: bare, Value: []byte("a4")}); err != nil {
		t.Fatal(err)
	}
	expect("n/1", "a4")
	if lease := s.kvs["n/1"].Lease; lease != 1 {
		t.Errorf("lease %d", lease)
	}

	stale := &v3electionpb.LeaderKey{Name: l.Name, Key: l.Key, Rev: l.Rev + 1, Lease: 1}
	_, err = e.Proclaim(ctx, &v3electionpb.ProclaimRequest{Leader: stale, Value: []byte("x")})
	checkBare(t, err, "election: not leader")
	if _, err := e.Resign(ctx, &v3electionpb.ResignRequest{Leader: stale}); err != nil || s.kvs["n/1"] == nil {
		t.Errorf("a stale resignation: %v, keys %v", err, s.keys())
	}
	if _, err := e.Resign(ctx, &v3electionpb.ResignRequest{Leader: l}); err != nil {
		t.Fatal(err)
	}
	if got := <-second; got.err != nil || string(got.resp.Leader.Key) != "n/2" {
		t.Errorf("the second: %v", got)
	}
	expect("n/2", "b")
	leader, err := e.Leader(ctx, &v3electionpb.LeaderRequest{Name: []byte("n")})
	if err != nil || string(leader.Kv.Key) != "n/2" {
		t.Errorf("leader %v, %v", leader, err)
	}
}

func TestElectionErrorsAreEtcds(t *testing.T) {
	_, e := newElection(t)
	ctx := testContext(t)
	_, err := e.Proclaim(ctx, &v3electionpb.ProclaimRequest{})
	checkBare(t, err, `"leader" field must be provided`)
	_, err = e.Resign(ctx, &v3electionpb.ResignRequest{})
	checkBare(t, err, `"leader" field must be provided`)
	checkBare(t, (<-campaign(ctx, e, 77, "v")).err, rpctypes.ErrorDesc(rpctypes.ErrGRPCLeaseNotFound))
}

// etcd's library would make the candidate leader, without a key.
func TestCandidateWhoseLeaseEndsDoesNotLead(t *testing.T) {
	s, e := newElection(t)
	ctx := testContext(t)
	if got := <-campaign(ctx, e, 1, "a"); got.err != nil {
		t.Fatal(got.err)
	}
	second := campaign(ctx, e, 2, "b")
	s.await(t, "the second waits", func() bool { return s.watches == 1 })
	s.mu.Lock()
	s.revoke(2)
	s.mu.Unlock()
	checkBare(t, (<-second).err, "election: not leader")
}

func TestCandidateWhoStopsWaitingLeavesNothingBehind(t *testing.T) {
	s, e := newElection(t)
	if got := <-campaign(testContext(t), e, 1, "a"); got.err != nil {
		t.Fatal(got.err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	second := campaign(ctx, e, 2, "b")
	s.await(t, "the second waits", func() bool { return s.watches == 1 })
	cancel()
	checkStatus(t, (<-second).err, status.FromContextError(context.Canceled).Err())
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kvs) != 1 {
		t.Errorf("left behind: %v", s.keys())
	}
}
