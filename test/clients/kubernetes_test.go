package clients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"

	"github.com/quorumkv/quorumkv/test/cluster"
)

const pods = "/registry/pods/default/"

// newKubernetes returns the client that an API server uses.
func newKubernetes(t *testing.T, c *cluster.Cluster) *kubernetes.Client {
	t.Helper()
	client, err := kubernetes.New(clientv3.Config{Endpoints: c.Endpoints(), DialTimeout: 10 * time.Second,
		DialKeepAliveTime: 30 * time.Second, DialKeepAliveTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// TestKubernetesObjects walks through the life of objects: create, guarded update, delete, lists in pages.
func TestKubernetesObjects(t *testing.T) {
	c := startCluster(t)
	ctx := within(t, time.Minute)
	k := newKubernetes(t, c)
	created, err := k.Kubernetes.OptimisticPut(ctx, pods+"a", []byte("1"), 0, kubernetes.PutOptions{GetOnFailure: true})
	if err != nil || !created.Succeeded {
		t.Fatalf("create: %v, %v", created, err)
	}
	again, err := k.Kubernetes.OptimisticPut(ctx, pods+"a", []byte("2"), 0, kubernetes.PutOptions{GetOnFailure: true})
	if err != nil || again.Succeeded || again.KV == nil || string(again.KV.Value) != "1" || again.KV.ModRevision != created.Revision {
		t.Errorf("create what exists: %v, %v", again, err)
	}
	missing, err := k.Kubernetes.OptimisticPut(ctx, pods+"none", []byte("2"), 7, kubernetes.PutOptions{GetOnFailure: true})
	if err != nil || missing.Succeeded || missing.KV != nil {
		t.Errorf("update what does not exist: %v, %v", missing, err)
	}
	updated, err := k.Kubernetes.OptimisticPut(ctx, pods+"a", []byte("2"), created.Revision, kubernetes.PutOptions{})
	if err != nil || !updated.Succeeded || updated.Revision <= created.Revision {
		t.Fatalf("update: %v, %v", updated, err)
	}
	stale, err := k.Kubernetes.OptimisticDelete(ctx, pods+"a", created.Revision, kubernetes.DeleteOptions{GetOnFailure: true})
	if err != nil || stale.Succeeded || stale.KV == nil || stale.KV.ModRevision != updated.Revision {
		t.Errorf("delete an older state: %v, %v", stale, err)
	}
	old, err := k.Kubernetes.Get(ctx, pods+"a", kubernetes.GetOptions{Revision: created.Revision})
	if err != nil || string(old.KV.Value) != "1" || old.Revision != updated.Revision {
		t.Errorf("get at a revision: %v, %v", old, err)
	}
	deleted, err := k.Kubernetes.OptimisticDelete(ctx, pods+"a", updated.Revision, kubernetes.DeleteOptions{})
	if err != nil || !deleted.Succeeded || deleted.Revision != updated.Revision+1 {
		t.Errorf("delete: %v, %v", deleted, err)
	}
	if gone, err := k.Kubernetes.Get(ctx, pods+"a", kubernetes.GetOptions{}); err != nil || gone.KV != nil || gone.Revision != deleted.Revision {
		t.Errorf("get what is gone: %v, %v", gone, err)
	}
	pages(ctx, t, k)
	gone410(ctx, t, k)
}

// pages lists 1,234 objects by 100, at one revision, while others are written.
func pages(ctx context.Context, t *testing.T, k *kubernetes.Client) {
	t.Helper()
	const objects = 1234
	put := func(name, value string) {
		if _, err := k.Put(ctx, pods+name, value); err != nil {
			t.Fatal(err)
		}
	}
	putAll(ctx, t, k.KV, objects, func(i int) string { return fmt.Sprintf("%s%05d", pods, i) }, "first")
	var names []string
	opts := kubernetes.ListOptions{Limit: 100}
	for page := 0; ; page++ {
		list, err := k.Kubernetes.List(ctx, pods, opts)
		if err != nil {
			t.Fatal(err)
		}
		if opts.Revision == 0 {
			opts.Revision = list.Revision
		}
		for _, kv := range list.Kvs {
			names = append(names, strings.TrimPrefix(string(kv.Key), pods))
			if string(kv.Value) != "first" || kv.ModRevision > opts.Revision {
				t.Errorf("%s in a list of revision %d: %q of %d", kv.Key, opts.Revision, kv.Value, kv.ModRevision)
			}
		}
		if want := int64(objects - len(names) + len(list.Kvs)); list.Count != want {
			t.Errorf("page %d counts %d, want %d", page, list.Count, want)
		}
		if int64(len(list.Kvs)) == list.Count {
			break
		}
		opts.Continue = string(list.Kvs[len(list.Kvs)-1].Key) + "\x00"
		put(fmt.Sprintf("%05d", page*100+50), "second")
		put(fmt.Sprintf("%05d-new", page*100+50), "new")
	}
	if len(names) != objects || !slices.IsSorted(names) {
		t.Errorf("%d objects in pages, want %d, sorted", len(names), objects)
	}
	if count, err := k.Kubernetes.Count(ctx, pods, kubernetes.CountOptions{}); err != nil || count != objects+12 {
		t.Errorf("count: %d, %v", count, err)
	}
}

// gone410: what an API server turns into 410 Gone, from lists and from watches, and a resource version that is too large.
func gone410(ctx context.Context, t *testing.T, k *kubernetes.Client) {
	t.Helper()
	now, err := k.Kubernetes.Get(ctx, "/registry/health", kubernetes.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Compact(ctx, now.Revision-1); err != nil {
		t.Fatal(err)
	}
	_, err = k.Kubernetes.List(ctx, pods, kubernetes.ListOptions{Revision: now.Revision - 2, Limit: 10})
	if !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("list at a compacted revision: %v", err)
	}
	_, err = k.Kubernetes.List(ctx, pods, kubernetes.ListOptions{Revision: now.Revision + 1000})
	if !errors.Is(err, rpctypes.ErrFutureRev) {
		t.Errorf("list at a future revision: %v", err)
	}
	watch := k.Watch(clientv3.WithRequireLeader(ctx), pods, clientv3.WithPrefix(), clientv3.WithRev(now.Revision-2),
		clientv3.WithPrevKV(), clientv3.WithProgressNotify())
	for response := range watch {
		if err := response.Err(); err != nil {
			if !errors.Is(err, rpctypes.ErrCompacted) || response.CompactRevision != now.Revision-1 {
				t.Errorf("watch from a compacted revision: %v, compact revision %d", err, response.CompactRevision)
			}
			return
		}
	}
	t.Error("the watch from a compacted revision ended without an error")
}

// TestKubernetesWatchCache keeps caches as API servers do: list, watch from the list's revision with prev_kv and progress,
// while objects change and leaders are killed. After each quiet moment a cache that asks for progress must, within the 3 s
// that an API server waits, know that it is as new as a fresh read, and hold the same.
func TestKubernetesWatchCache(t *testing.T) {
	c := startCluster(t)
	ctx := within(t, 3*time.Minute)
	var caches []*watchCache
	for range 3 {
		w := &watchCache{t: t, client: newKubernetes(t, c), objects: map[string]int64{}}
		w.changed = sync.NewCond(&w.mu)
		w.start(ctx)
		caches = append(caches, w)
	}
	writer := newKubernetes(t, c)
	revisions := map[string]int64{}
	for round := range 6 {
		for i := range 40 {
			name := fmt.Sprintf("%s%d", pods, (round*17+i)%50)
			mutate(ctx, t, writer, name, revisions, i%5 == 4)
		}
		if round%2 == 1 {
			replaceLeader(t, c)
		}
		// Other objects: the caches hear of these revisions only if they ask.
		persist(ctx, t, "put", func(ctx context.Context) error { _, err := writer.Put(ctx, "/registry/nodes/n", "x"); return err })
		for i, w := range caches {
			// An API server learns the newest revision from a linearizable read and waits for its cache.
			var list kubernetes.ListResponse
			persist(ctx, t, "list", func(ctx context.Context) (err error) {
				list, err = w.client.Kubernetes.List(ctx, pods, kubernetes.ListOptions{})
				return err
			})
			w.await(ctx, i, list, round%2 == 0)
		}
	}
	for i, w := range caches {
		w.mu.Lock()
		t.Logf("cache %d: %d events, %d notices of progress, %d requests for it", i, w.events, w.notices, w.asked.Load())
		if w.events == 0 || w.notices == 0 {
			t.Errorf("cache %d has had nothing to do", i)
		}
		w.mu.Unlock()
	}
}

// mutate creates, updates or deletes an object, guarded by the revision known for it; a result that was lost is looked up.
func mutate(ctx context.Context, t *testing.T, k *kubernetes.Client, name string, revisions map[string]int64, remove bool) {
	t.Helper()
	persist(ctx, t, "mutate "+name, func(ctx context.Context) error {
		if remove && revisions[name] != 0 {
			deleted, err := k.Kubernetes.OptimisticDelete(ctx, name, revisions[name], kubernetes.DeleteOptions{GetOnFailure: true})
			if err != nil {
				return err
			}
			revisions[name] = 0
			if !deleted.Succeeded && deleted.KV != nil {
				revisions[name] = deleted.KV.ModRevision
			}
			return nil
		}
		put, err := k.Kubernetes.OptimisticPut(ctx, name, []byte("x"), revisions[name], kubernetes.PutOptions{GetOnFailure: true})
		if err != nil {
			return err
		}
		revisions[name] = put.Revision
		if !put.Succeeded {
			revisions[name] = 0
			if put.KV != nil {
				revisions[name] = put.KV.ModRevision
			}
		}
		return nil
	})
}

// watchCache is the cache of one API server for one kind of object.
type watchCache struct {
	t      *testing.T
	client *kubernetes.Client
	ctx    context.Context

	asked atomic.Int64

	mu       sync.Mutex
	changed  *sync.Cond
	objects  map[string]int64 // name: revision
	revision int64
	events   int
	notices  int
}

func (w *watchCache) start(ctx context.Context) {
	w.ctx = clientv3.WithRequireLeader(ctx)
	list, err := w.client.Kubernetes.List(ctx, pods, kubernetes.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.revision = list.Revision
	for _, kv := range list.Kvs {
		w.objects[string(kv.Key)] = kv.ModRevision
	}
	watch := func() clientv3.WatchChan {
		return w.client.Watch(w.ctx, pods, clientv3.WithPrefix(), clientv3.WithRev(w.revision+1), clientv3.WithPrevKV(),
			clientv3.WithProgressNotify(), clientv3.WithCreatedNotify())
	}
	responses := watch()
	go func() {
		for ctx.Err() == nil {
			for response := range responses {
				if response.Err() != nil {
					break
				}
				w.apply(response)
			}
			responses = watch() // without a leader the watch ends, and an API server begins again
		}
	}()
}

// apply takes in what an API server would, and complains where it would.
func (w *watchCache) apply(response clientv3.WatchResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.changed.Broadcast()
	if response.IsProgressNotify() {
		w.notices++
		if response.Header.Revision < w.revision {
			w.t.Errorf("progress at %d after revision %d", response.Header.Revision, w.revision)
		}
		w.revision = max(w.revision, response.Header.Revision)
		return
	}
	for _, e := range response.Events {
		name := string(e.Kv.Key)
		w.events++
		switch known := w.objects[name]; {
		case e.Kv.ModRevision <= w.revision:
			w.t.Errorf("%s of revision %d comes after %d was complete", name, e.Kv.ModRevision, w.revision)
		case e.IsCreate() && (known != 0 || e.PrevKv != nil):
			w.t.Errorf("%s is created at %d, and was there at %d", name, e.Kv.ModRevision, known)
		case !e.IsCreate() && e.PrevKv == nil:
			w.t.Errorf("%s of revision %d has no prev_kv", name, e.Kv.ModRevision)
		case !e.IsCreate() && e.PrevKv.ModRevision != known:
			w.t.Errorf("%s of revision %d follows %d, the cache has %d", name, e.Kv.ModRevision, e.PrevKv.ModRevision, known)
		}
		w.objects[name] = e.Kv.ModRevision
		if e.Type == clientv3.EventTypeDelete {
			delete(w.objects, name)
		}
	}
	if n := len(response.Events); n > 0 {
		w.revision = max(w.revision, response.Events[n-1].Kv.ModRevision)
	}
}

// await asks for progress every 100 ms until the cache is as new as a list, and compares it with the list.
func (w *watchCache) await(ctx context.Context, number int, list kubernetes.ListResponse, calm bool) {
	w.t.Helper()
	limit := failoverTimeout
	if calm {
		limit = 3 * time.Second
	}
	waiting, stop := context.WithTimeout(ctx, limit)
	defer stop()
	go func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				w.asked.Add(1)
				w.client.RequestProgress(w.ctx) // an error ends the watch too, which is seen there
			case <-waiting.Done():
				w.changed.Broadcast()
				return
			}
		}
	}()
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.revision < list.Revision && waiting.Err() == nil {
		w.changed.Wait()
	}
	if w.revision < list.Revision {
		w.t.Fatalf("cache %d is at revision %d after %v, a read at %d", number, w.revision, limit, list.Revision)
	}
	if len(list.Kvs) != len(w.objects) {
		w.t.Errorf("cache %d has %d objects, a list %d", number, len(w.objects), len(list.Kvs))
	}
	for _, kv := range list.Kvs {
		if w.objects[string(kv.Key)] != kv.ModRevision {
			w.t.Errorf("cache %d has %s of revision %d, a list %d", number, kv.Key, w.objects[string(kv.Key)], kv.ModRevision)
		}
	}
}

// TestKubernetesCompaction: of several API servers that want to compact, one wins each round, by the version of a key.
func TestKubernetesCompaction(t *testing.T) {
	c := startCluster(t)
	ctx := within(t, time.Minute)
	const servers, rounds = 4, 5
	var wins [rounds + 1]atomic.Int64
	var wait sync.WaitGroup
	for range servers {
		k := newKubernetes(t, c)
		wait.Go(func() {
			version, revision := int64(0), int64(0)
			for version < rounds {
				if _, err := k.Put(ctx, pods+"busy", "x"); err != nil {
					t.Error(err)
					return
				}
				response, err := k.KV.Txn(ctx).If(clientv3.Compare(clientv3.Version("compact_rev_key"), "=", version)).
					Then(clientv3.OpPut("compact_rev_key", fmt.Sprint(revision))).
					Else(clientv3.OpGet("compact_rev_key")).Commit()
				if err != nil {
					t.Error(err)
					return
				}
				current := response.Header.Revision
				if !response.Succeeded { // another one was faster
					version = response.Responses[0].GetResponseRange().Kvs[0].Version
					revision = current
					continue
				}
				wins[version].Add(1)
				version++
				if revision > 0 {
					if _, err := k.Compact(ctx, revision); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
						t.Errorf("compact: %v", err)
					}
				}
				revision = current
			}
		})
	}
	wait.Wait()
	for version := range rounds {
		if n := wins[version].Load(); n != 1 {
			t.Errorf("%d servers won the election of version %d", n, version)
		}
	}
}

// TestKubernetesEvents: events share a lease; when it ends, a watch sees every one of them go, in one revision.
func TestKubernetesEvents(t *testing.T) {
	c := startCluster(t)
	ctx := within(t, time.Minute)
	k := newKubernetes(t, c)
	const objects = 500
	watch := k.Watch(clientv3.WithRequireLeader(ctx), "/registry/events/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	lease, err := k.Grant(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range objects {
		put, err := k.Kubernetes.OptimisticPut(ctx, fmt.Sprintf("/registry/events/%d", i), []byte("e"), 0,
			kubernetes.PutOptions{LeaseID: lease.ID})
		if err != nil || !put.Succeeded {
			t.Fatalf("create: %v, %v", put, err)
		}
		if i%100 == 0 {
			if _, err := k.KeepAliveOnce(ctx, lease.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone, at := 0, int64(0)
	for response := range watch {
		if response.Err() != nil {
			t.Fatal(response.Err())
		}
		for _, e := range response.Events {
			if e.Type != clientv3.EventTypeDelete {
				continue
			}
			gone++
			if at == 0 {
				at = e.Kv.ModRevision
			}
			if e.Kv.ModRevision != at || e.PrevKv == nil || e.PrevKv.Lease != int64(lease.ID) {
				t.Fatalf("the %d-th deletion: %v, the first was at %d", gone, e, at)
			}
		}
		if gone == objects {
			return
		}
	}
	t.Errorf("%d of %d events went", gone, objects)
}
