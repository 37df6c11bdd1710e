package e2e

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	electionpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	lockpb "go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"golang.org/x/sync/errgroup"

	"github.com/quorumkv/quorumkv/test/cluster"
)

func grant(t *testing.T, c *cluster.Cluster, node int) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	lease, err := c.Client(node).Grant(ctx, 60)
	if err != nil {
		t.Fatal(err)
	}
	return int64(lease.ID)
}

// TestLockExcludes lets callers on every node take one lock in turns, through the lock service.
func TestLockExcludes(t *testing.T) {
	c := cluster.Start(t, cluster.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const callers, turns = 9, 5
	var inside, served atomic.Int32
	var group errgroup.Group
	for i := range callers {
		node := i % len(c.Nodes)
		service := lockpb.NewLockClient(c.Client(node).ActiveConnection())
		lease := grant(t, c, node)
		group.Go(func() error {
			for range turns {
				held, err := service.Lock(ctx, &lockpb.LockRequest{Name: []byte("lock"), Lease: lease})
				if err != nil {
					return err
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				// The key proves it, in a transaction as users write them.
				key := string(held.Key)
				resp, err := c.Client(node).Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "<", held.Header.Revision+1),
					clientv3.Compare(clientv3.LeaseValue(key), "=", lease)).Then(clientv3.OpPut("guarded", key)).Commit()
				if err != nil || !resp.Succeeded {
					t.Errorf("the guarded write of %q: %v, %v", key, resp, err)
				}
				served.Add(1)
				inside.Add(-1)
				if _, err := service.Unlock(ctx, &lockpb.UnlockRequest{Key: held.Key}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := served.Load(); n != callers*turns {
		t.Errorf("%d turns, want %d", n, callers*turns)
	}
}

// TestElectionPassesOn lets the second of two candidates, on different nodes, lead when the first one's lease ends, and a
// third node see it.
func TestElectionPassesOn(t *testing.T) {
	c := cluster.Start(t, cluster.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	service := func(node int) electionpb.ElectionClient {
		return electionpb.NewElectionClient(c.Client(node).ActiveConnection())
	}
	seen, err := service(2).Observe(ctx, &electionpb.LeaderRequest{Name: []byte("e")})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(value string) {
		t.Helper()
		r, err := seen.Recv()
		if err != nil || string(r.Kv.Value) != value {
			t.Fatalf("observed %v, %v; want %s", r, err, value)
		}
	}
	first, second := grant(t, c, 0), grant(t, c, 1)
	if _, err := service(0).Campaign(ctx, &electionpb.CampaignRequest{Name: []byte("e"), Lease: first, Value: []byte("one")}); err != nil {
		t.Fatal(err)
	}
	expect("one")
	type outcome struct {
		resp *electionpb.CampaignResponse
		err  error
	}
	elected := make(chan outcome, 1)
	go func() {
		resp, err := service(1).Campaign(ctx, &electionpb.CampaignRequest{Name: []byte("e"), Lease: second, Value: []byte("two")})
		elected <- outcome{resp, err}
	}()
	awaitCount(ctx, t, c, "e/", 2)
	if _, err := c.Client(2).Revoke(ctx, clientv3.LeaseID(first)); err != nil {
		t.Fatal(err)
	}
	got := <-elected
	if got.err != nil {
		t.Fatal(got.err)
	}
	expect("two")
	if _, err := service(0).Proclaim(ctx, &electionpb.ProclaimRequest{Leader: got.resp.Leader, Value: []byte("two, again")}); err != nil {
		t.Fatal(err)
	}
	expect("two, again")
}

// awaitCount waits until n keys begin with prefix.
func awaitCount(ctx context.Context, t *testing.T, c *cluster.Cluster, prefix string, n int64) {
	t.Helper()
	for {
		resp, err := c.Client().Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatalf("count %s: %v", prefix, err)
		}
		if resp.Count == n {
			return
		}
	}
}

// TestStopUnderWaiters stops a node while clients watch through its gateway and wait for a lock: it must not take longer
// for that, and the waiters' places must go with them.
func TestStopUnderWaiters(t *testing.T) {
	c := cluster.Start(t, cluster.Config{})
	if c.Program.IsEtcd() {
		t.Skip("etcd waits for its watchers")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	leader := c.Leader()
	other := c.Followers()[0]
	holder, throughGRPC, throughHTTP := grant(t, c, other), grant(t, c, other), grant(t, c, other)
	if _, err := lockpb.NewLockClient(c.Client(other).ActiveConnection()).Lock(ctx, &lockpb.LockRequest{Name: []byte("l"), Lease: holder}); err != nil {
		t.Fatal(err)
	}
	go lockpb.NewLockClient(c.Client(leader).ActiveConnection()).Lock(ctx, &lockpb.LockRequest{Name: []byte("l"), Lease: throughGRPC})
	post := func(path, body string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Nodes[leader].ClientURL()+path, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		return http.DefaultClient.Do(r)
	}
	go post("/v3/lock/lock", `{"name":"bA==","lease":"`+strconv.FormatInt(throughHTTP, 10)+`"}`)
	awaitCount(ctx, t, c, "l/", 3)
	watch, err := post("/v3/watch", `{"create_request":{"key":"YQ=="}}`)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Body.Close()
	if _, err := bufio.NewReader(watch.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}

	exit := c.Nodes[leader].Stop()
	t.Logf("stopped after %v", exit.Elapsed.Round(time.Millisecond))
	if exit.Code != 0 || exit.Elapsed > 1500*time.Millisecond {
		t.Errorf("code %d after %v", exit.Code, exit.Elapsed)
	}
	resp, err := c.Client(other).Get(ctx, "l/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Kvs) != 1 || resp.Kvs[0].Lease != holder {
		t.Errorf("after the stop: %v", resp.Kvs)
	}
}
