package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/test/cluster"
	"github.com/quorumkv/quorumkv/test/workload"
)

const (
	chaosEnv     = "QUORUMKV_CHAOS"
	chaosTime    = 30 * time.Second
	watchers     = 200
	leases       = 1000
	leaseSlack   = 12 * time.Second // one leader lost, and a busy machine
	lastKey      = "z/last"
	progressFlag = "--watch-progress-notify-interval=250ms"
)

// TestWatchersAndLeasesUnderChaos: 200 watchers and 1,000 leases while nodes are killed, paused and restarted in turn.
// Afterwards a watch of the full history proves that each watcher was told every revision of its prefix, whole, once and
// in order, that no progress ran ahead, that no lease died before its time and none of those that nobody renewed lived on,
// and that each took all its keys in one revision. QUORUMKV_CHAOS is how long it goes on, 30 s otherwise.
func TestWatchersAndLeasesUnderChaos(t *testing.T) {
	duration := chaosTime
	if testing.Short() {
		duration = 10 * time.Second
	}
	if text := os.Getenv(chaosEnv); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", chaosEnv, err)
		}
	}
	rng, seed := newRand(t)
	c := cluster.Start(t, cluster.Config{Flags: []string{progressFlag}})
	c.Leader()
	cfg := workload.Config{Any: c.Client(), Writers: 8, Readers: 2, Timeout: requestTimeout, Seed: seed, Pace: 25 * time.Millisecond}
	for i, n := range c.Nodes {
		cfg.Targets = append(cfg.Targets, workload.Target{Client: c.Client(i), Generation: n.Generation})
	}
	load := workload.Start(cfg)
	t.Cleanup(load.Stop)

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	clock := newRevisionClock(c.Client())
	running.Go(func() { clock.run(ctx) })
	all := startWatchers(ctx, t, c, rng, &running)
	held := startLeases(t, c, duration, seed)

	begin := time.Now()
	rounds := map[string]int{}
	var kinds []int // each once before any comes again
	for time.Since(begin) < duration {
		if len(kinds) == 0 {
			kinds = rng.Perm(disturbances)
		}
		rounds[disturb(t, c, rng, load, kinds[0])]++
		kinds = kinds[1:]
	}
	t.Logf("%v of %v", time.Since(begin).Round(time.Second), rounds)
	if _, err := held.Alive(ctx, c.Client()); err != nil {
		t.Error(err)
	}
	held.Stop()
	slack := leaseSlack
	if c.Program.IsEtcd() {
		slack = -1 // it gives every lease its full TTL again at each change of leader
	}
	awaitDeadLeases(ctx, t, c, held.Last(leaseSlack))
	settle(t, c, load)
	finish(t, c, all)

	historyCtx, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	history, err := workload.History(historyCtx, c.Client(c.Leader()), lastKey)
	if err != nil {
		t.Fatal(err)
	}
	var told, promised, breaks int
	for i, w := range all {
		for _, wrong := range w.Judge(history, c.Program.IsEtcd()) {
			t.Errorf("watcher %d (prefix %q, from %d): %s", i, w.Prefix, w.From, wrong)
		}
		a, b, d := w.Counts()
		told, promised, breaks = told+a, promised+b, breaks+d
	}
	t.Logf("history of %d events; %d watchers were told %d revisions, had %d promises of progress, and began anew %d times",
		len(history), len(all), told, promised, breaks)
	t.Logf("leases: %s", held)
	for _, wrong := range held.Judge(history, clock.at, slack) {
		t.Errorf("%s", wrong)
	}
}

// startWatchers: a third share one stream, a third have a client each, a third hop from node to node.
func startWatchers(ctx context.Context, t *testing.T, c *cluster.Cluster, rng *rand.Rand, running *sync.WaitGroup) (all []*workload.Watcher) {
	t.Helper()
	shared := c.Client()
	var perNode []*clientv3.Client // shared by those that hop: a stream each of many watches
	for i := range c.Nodes {
		client, err := cluster.NewClient(c.Endpoints(i)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		perNode = append(perNode, client)
	}
	prefixes := []string{"", "", "w", "w0001/", "w0005/", "l"}
	for i := range watchers {
		w := &workload.Watcher{Prefix: prefixes[rng.IntN(len(prefixes))], PrevKV: rng.IntN(2) == 0, Until: lastKey}
		w.From = rng.Int64N(2) // from the first revision, or from now on
		if w.Prefix != "" {
			w.Until = w.Prefix + "~" // behind everything with the prefix; see finish
		}
		switch i % 3 {
		case 0:
			w.Clients = []*clientv3.Client{shared}
		case 1:
			client, err := cluster.NewClient(c.Endpoints()...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { client.Close() })
			w.Clients = []*clientv3.Client{client}
		default:
			for n := range perNode {
				w.Clients = append(w.Clients, perNode[(n+i)%len(perNode)])
			}
			w.Stay = 500*time.Millisecond + time.Duration(rng.Int64N(int64(4*time.Second)))
		}
		// An answer of etcd's may overtake the start of a watch that was made after the question, on the same stream, and is
		// then taken for that watch's own. After a break watches begin in the past, so etcd is not asked.
		if rng.IntN(4) == 0 && !c.Program.IsEtcd() {
			w.Ask = 300 * time.Millisecond
		}
		all = append(all, workload.NewWatcher(w))
	}
	for _, w := range all {
		running.Go(func() { w.Run(ctx) })
	}
	return all
}

func startLeases(t *testing.T, c *cluster.Cluster, over time.Duration, seed uint64) *workload.Leases {
	t.Helper()
	var leaseClients []pb.LeaseClient
	var kvs []pb.KVClient
	for n := range c.Nodes {
		conn := c.Client(n).ActiveConnection()
		leaseClients, kvs = append(leaseClients, pb.NewLeaseClient(conn)), append(kvs, pb.NewKVClient(conn))
	}
	held := &workload.Leases{Count: leases, Kept: leases * 2 / 5, TTL: 4 * time.Second, Over: over * 2 / 3, Timeout: requestTimeout,
		Seed: seed, Clients: func(n int) (pb.LeaseClient, pb.KVClient) { n %= len(kvs); return leaseClients[n], kvs[n] }}
	held.Start()
	t.Cleanup(held.Stop)
	return held
}

// disturbances is how many kinds there are: killed, paused, restarted, each the leader or a follower.
const disturbances = 6

// disturb does one thing to one node and waits until clients go on.
func disturb(t *testing.T, c *cluster.Cluster, rng *rand.Rand, load *workload.Load, kind int) (what string) {
	t.Helper()
	leader := c.Leader()
	node := leader
	if kind%2 == 0 {
		node = c.Followers()[rng.IntN(2)]
	}
	who := map[bool]string{true: "leader", false: "follower"}[node == leader]
	switch kind / 2 {
	case 0:
		what = who + " killed"
		c.Nodes[node].Kill()
		awaitAcks(t, load, 50)
		c.Nodes[node].Restart()
	case 1:
		if node == leader && c.Program.IsEtcd() {
			// A leader of etcd that was paused revokes, when it goes on, what it takes for expired, although the next leader
			// has renewed it meanwhile.
			node = c.Followers()[0]
			who = "follower"
		}
		what = who + " paused"
		c.Nodes[node].Pause()
		awaitAcks(t, load, 50)
		time.Sleep(time.Duration(rng.Int64N(int64(2 * time.Second)))) // how long a pause lasts is the input
		c.Nodes[node].Continue()
	default:
		what = who + " restarted"
		c.Nodes[node].Stop()
		awaitAcks(t, load, 50)
		c.Nodes[node].Restart()
	}
	awaitAcks(t, load, 300)
	return what
}

// awaitDeadLeases waits until no lease is left.
func awaitDeadLeases(ctx context.Context, t *testing.T, c *cluster.Cluster, last time.Time) {
	t.Helper()
	last = last.Add(15 * time.Second) // etcd: as if granted anew by the last leader
	for {
		response, err := c.Client(c.Leader()).Leases(ctx)
		if err == nil && len(response.Leases) == 0 {
			return
		}
		if time.Now().After(last) {
			t.Fatalf("leases that nobody renews are still there: %v, %v", response, err)
		}
		time.Sleep(200 * time.Millisecond) // nothing announces the end of a lease without keys
	}
}

// finish writes the key that each watcher waits for, and waits for them.
func finish(t *testing.T, c *cluster.Cluster, all []*workload.Watcher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, prefix := range []string{"w0001/", "w0005/", "w", "l"} { // the shortest last: it has the others in it
		if _, err := c.Client().Put(ctx, prefix+"~", ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Client().Put(ctx, lastKey, ""); err != nil {
		t.Fatal(err)
	}
	missing := 0
	for _, w := range all {
		select {
		case <-w.Done():
		case <-ctx.Done():
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d watchers have not seen the last event within a minute", missing, len(all))
	}
}

// revisionClock notes when each revision was first seen by a watch of its own.
type revisionClock struct {
	client *clientv3.Client
	mu     sync.Mutex
	times  map[int64]time.Time
}

func newRevisionClock(client *clientv3.Client) *revisionClock {
	return &revisionClock{client: client, times: map[int64]time.Time{}}
}

func (r *revisionClock) run(ctx context.Context) {
	next := int64(1)
	for ctx.Err() == nil {
		watchCtx, cancel := context.WithCancel(ctx)
		for response := range r.client.Watch(watchCtx, "l", clientv3.WithPrefix(), clientv3.WithRev(next)) {
			now := time.Now()
			r.mu.Lock()
			for _, e := range response.Events {
				if _, again := r.times[e.Kv.ModRevision]; !again {
					r.times[e.Kv.ModRevision] = now
				}
				next = e.Kv.ModRevision + 1
			}
			r.mu.Unlock()
		}
		cancel()
	}
}

func (r *revisionClock) at(revision int64) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.times[revision]
}
