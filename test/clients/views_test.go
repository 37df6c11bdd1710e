package clients

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

// TestLeasing: what one client holds in its cache is what the others wrote, also after the leader was lost.
func TestLeasing(t *testing.T) {
	c := startCluster(t)
	ctx := within(t, 2*time.Minute)
	var kvs []clientv3.KV
	for n := range 2 {
		kv, closeKV, err := leasing.NewKV(newClient(t, c, n), "clients/leasing/")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(closeKV)
		kvs = append(kvs, kv)
	}
	value := func(kv clientv3.KV, key string) (v string) {
		t.Helper()
		persist(ctx, t, "get", func(ctx context.Context) error {
			got, err := kv.Get(ctx, key)
			v = ""
			if err == nil && len(got.Kvs) == 1 {
				v = string(got.Kvs[0].Value)
			}
			return err
		})
		return v
	}
	for round := range 20 {
		writer, reader := kvs[round%2], kvs[(round+1)%2]
		key, want := fmt.Sprintf("k%d", round%3), fmt.Sprint("v", round)
		value(reader, key) // takes the key over
		if round == 10 {
			replaceLeader(t, c)
		}
		persist(ctx, t, "put", func(ctx context.Context) error { _, err := writer.Put(ctx, key, want); return err })
		for i, kv := range kvs {
			if got := value(kv, key); got != want {
				t.Fatalf("round %d: client %d reads %q, want %q", round, i, got, want)
			}
		}
	}
	response, err := kvs[0].Txn(ctx).If(clientv3.Compare(clientv3.Value("k0"), "=", value(kvs[1], "k0"))).
		Then(clientv3.OpPut("k0", "txn"), clientv3.OpDelete("k1")).Commit()
	if err != nil || !response.Succeeded || value(kvs[1], "k0") != "txn" || value(kvs[1], "k1") != "" {
		t.Errorf("transaction: %v, %v", response, err)
	}
	if _, err := kvs[1].Delete(ctx, "k", clientv3.WithPrefix()); err != nil || value(kvs[0], "k0") != "" {
		t.Errorf("delete: %v", err)
	}
}

// TestOrdering: serializable reads from ever other nodes never go back behind what the client has seen.
func TestOrdering(t *testing.T) {
	c := startCluster(t)
	ctx := within(t, time.Minute)
	client := newClient(t, c, -1)
	kv := ordering.NewKV(client.KV, ordering.NewOrderViolationSwitchEndpointClosure(client))
	last := int64(0)
	follower := c.Followers()[0]
	for i := range 60 {
		if i == 20 {
			c.Nodes[follower].Pause() // falls behind
		}
		if i == 40 {
			c.Nodes[follower].Continue()
		}
		node := i % 3
		if i >= 20 && i < 40 && node == follower {
			node = (node + 1) % 3
		}
		client.SetEndpoints(c.Endpoints(node)...)
		persist(ctx, t, "put", func(ctx context.Context) error {
			_, err := client.Put(ctx, "clients/ordering", fmt.Sprint(i))
			return err
		})
		client.SetEndpoints(c.Endpoints()...) // the next read may go anywhere
		var revision int64
		persist(ctx, t, "get", func(ctx context.Context) error {
			got, err := kv.Get(ctx, "clients/ordering", clientv3.WithSerializable())
			if err == nil {
				revision = got.Header.Revision
			}
			return err
		})
		if revision < last {
			t.Fatalf("read at revision %d after %d", revision, last)
		}
		last = revision
	}
}

// TestNamespace: two tenants with the same keys do not see each other, in any service.
func TestNamespace(t *testing.T) {
	c := startCluster(t)
	ctx := within(t, time.Minute)
	type tenant struct {
		clientv3.KV
		clientv3.Watcher
		clientv3.Lease
		watch clientv3.WatchChan
	}
	var tenants []*tenant
	for n, prefix := range []string{"clients/red/", "clients/blue/"} {
		client := newClient(t, c, n)
		tn := &tenant{KV: namespace.NewKV(client.KV, prefix), Watcher: namespace.NewWatcher(client.Watcher, prefix),
			Lease: namespace.NewLease(client.Lease, prefix)}
		tn.watch = tn.Watch(clientv3.WithRequireLeader(ctx), "", clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
		if created := <-tn.watch; !created.Created {
			t.Fatalf("first response: %v", created)
		}
		tenants = append(tenants, tn)
	}
	for i, tn := range tenants {
		lease, err := tn.Grant(ctx, 60)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tn.Put(ctx, "key", fmt.Sprint(i), clientv3.WithLease(lease.ID)); err != nil {
			t.Fatal(err)
		}
		left, err := tn.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
		if err != nil || len(left.Keys) != 1 || string(left.Keys[0]) != "key" {
			t.Errorf("tenant %d: keys of the lease: %q, %v", i, left.Keys, err)
		}
		got, err := tn.Get(ctx, "", clientv3.WithPrefix())
		if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Key) != "key" || string(got.Kvs[0].Value) != fmt.Sprint(i) {
			t.Errorf("tenant %d reads %v, %v", i, got.Kvs, err)
		}
		if _, err := tn.Revoke(ctx, lease.ID); err != nil {
			t.Fatal(err)
		}
	}
	for i, tn := range tenants {
		var events []*clientv3.Event
		for len(events) < 2 {
			response, ok := <-tn.watch
			if !ok || response.Err() != nil {
				t.Fatalf("tenant %d: %v", i, response.Err())
			}
			events = append(events, response.Events...)
		}
		put, gone := events[0], events[1]
		if !put.IsCreate() || string(put.Kv.Key) != "key" || gone.Type != clientv3.EventTypeDelete ||
			string(gone.Kv.Key) != "key" || string(gone.PrevKv.Value) != fmt.Sprint(i) || len(events) != 2 {
			t.Errorf("tenant %d sees %v", i, events)
		}
	}
}

// TestMirror copies a prefix, base and updates, across the loss of a leader, and ends with an equal copy.
func TestMirror(t *testing.T) {
	c := startCluster(t)
	ctx := within(t, 2*time.Minute)
	put := func(i int) {
		persist(ctx, t, "put", func(ctx context.Context) error {
			_, err := c.Client().Put(ctx, fmt.Sprintf("clients/mirror/%04d", i), fmt.Sprint(i))
			return err
		})
	}
	const base = 1200 // more than a page
	putAll(ctx, t, c.Client(), base, func(i int) string { return fmt.Sprintf("clients/mirror/%04d", i) }, "base")
	copied := map[string]string{}
	syncer := mirror.NewSyncer(newClient(t, c, -1), "clients/mirror/", 0)
	pages, failed := syncer.SyncBase(ctx)
	for page := range pages {
		for _, kv := range page.Kvs {
			copied[string(kv.Key)] = string(kv.Value)
		}
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if len(copied) != base {
		t.Fatalf("the base has %d keys", len(copied))
	}
	updates := syncer.SyncUpdates(ctx)
	go func() {
		for i := range 400 {
			put(base - 200 + i)
		}
		persist(ctx, t, "delete", func(ctx context.Context) error {
			_, err := c.Client().Delete(ctx, "clients/mirror/00", clientv3.WithPrefix())
			return err
		})
		persist(ctx, t, "end", func(ctx context.Context) error { _, err := c.Client().Put(ctx, "clients/mirror/end", ""); return err })
	}()
	replaceLeader(t, c)
	last := int64(0)
	for copied["clients/mirror/end"] == "" {
		response, ok := <-updates
		if !ok || response.Err() != nil {
			t.Fatalf("updates end: %v", response.Err())
		}
		for _, e := range response.Events {
			if e.Kv.ModRevision < last {
				t.Errorf("revision %d after %d", e.Kv.ModRevision, last)
			}
			last = e.Kv.ModRevision
			if e.Type == mvccpb.Event_DELETE {
				delete(copied, string(e.Kv.Key))
				continue
			}
			copied[string(e.Kv.Key)] = string(e.Kv.Value)
			if string(e.Kv.Key) == "clients/mirror/end" {
				copied["clients/mirror/end"] = "seen"
			}
		}
	}
	copied["clients/mirror/end"] = ""
	got, err := c.Client().Get(ctx, "clients/mirror/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, kv := range got.Kvs {
		want[string(kv.Key)] = string(kv.Value)
	}
	if !maps.Equal(want, copied) {
		t.Errorf("the copy has %d keys, the original %d, or their values differ", len(copied), len(want))
	}
}
