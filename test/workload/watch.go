package workload

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Watcher follows a prefix whatever happens to the nodes, and remembers what it was told. After a break it goes on behind
// what it knows to be complete: its last event, or the last progress that was promised to it. So a promise that was not
// true becomes an event missed.
type Watcher struct {
	Prefix  string
	PrevKV  bool
	From    int64              // first revision; 0: from now on
	Clients []*clientv3.Client // used in turn. With one, the client itself goes on after a break
	Stay    time.Duration      // how long with each of several clients
	Ask     time.Duration      // how often to ask for progress; 0: never
	Until   string             // the key whose event is the last to wait for

	mu       sync.Mutex
	first    int64 // revision from which on everything is due; 0 until known
	next     int64
	seen     []told
	progress []promise
	began    bool // a watch was made and has no event yet
	breaks   int
	broken   []string
	done     chan struct{} // closed by the event of Until
}

// told is one revision as a watcher was told about it.
type told struct {
	revision int64
	digest   uint64
	plain    uint64 // without prev_kv
	first    bool   // the first of its watch
}

// promise is a revision up to which everything was said to have been told, and how much that was.
type promise struct {
	revision int64
	told     int
}

// Run follows until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	w.mu.Lock()
	w.first, w.next = w.From, w.From
	w.mu.Unlock()
	for turn := 0; ctx.Err() == nil; turn++ {
		client := w.Clients[turn%len(w.Clients)]
		hop, leave := ctx, context.CancelFunc(func() {})
		if len(w.Clients) > 1 {
			hop, leave = context.WithTimeout(ctx, w.Stay)
		}
		w.follow(hop, client)
		leave()
		w.mu.Lock()
		w.breaks++
		w.mu.Unlock()
		standBack(ctx)
	}
}

// Done is closed once the last event has come.
func (w *Watcher) Done() <-chan struct{} { return w.done }

// NewWatcher makes a watcher ready to run.
func NewWatcher(w *Watcher) *Watcher {
	w.done = make(chan struct{})
	return w
}

// follow watches with one client until that ends.
func (w *Watcher) follow(ctx context.Context, client *clientv3.Client) {
	ctx, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer stop()
	options := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithProgressNotify(), clientv3.WithCreatedNotify(),
		clientv3.WithRev(w.next)}
	if w.PrevKV {
		options = append(options, clientv3.WithPrevKV())
	}
	responses := client.Watch(ctx, w.Prefix, options...)
	if w.Ask > 0 {
		go func() {
			for ctx.Err() == nil {
				client.RequestProgress(ctx) // an error is one of the stream, which ends the watch as well
				wait(ctx, w.Ask)
			}
		}()
	}
	for response := range responses {
		if !w.take(response) {
			return
		}
	}
}

// take notes a response; false: the watch is over.
func (w *Watcher) take(r clientv3.WatchResponse) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.CompactRevision != 0 {
		w.accuse("ended by compaction at %d, nothing was compacted", r.CompactRevision)
	}
	switch {
	case r.Err() != nil:
		return false
	case r.Created:
		w.began = true
		if w.next == 0 {
			w.first, w.next = r.Header.Revision+1, r.Header.Revision+1
		}
	case len(r.Events) == 0:
		if revision := r.Header.Revision; revision >= w.next {
			w.progress = append(w.progress, promise{revision, len(w.seen)})
			w.next = revision + 1
		}
	default:
		w.events(r.Events)
	}
	return true
}

func (w *Watcher) events(events []*clientv3.Event) {
	for from := 0; from < len(events); {
		revision := events[from].Kv.ModRevision
		to := from + 1
		for to < len(events) && events[to].Kv.ModRevision == revision {
			to++
		}
		if len(w.seen) == 0 && w.From == 0 && revision == w.first-1 && w.next == w.first {
			// etcd's client resumes a watch from now on at the revision of its creation, not behind it, as long as it was told
			// nothing.
			w.first = revision
		} else if revision < w.next {
			w.accuse("revision %d comes when everything up to %d was told", revision, w.next-1)
		}
		w.seen = append(w.seen, told{revision: revision, first: w.began})
		for _, e := range events[from:to] {
			w.seen[len(w.seen)-1].add((*mvccpb.Event)(e), w.PrevKV)
		}
		for _, e := range events[from:to] {
			if string(e.Kv.Key) == w.Until {
				close(w.done)
				w.Until = ""
			}
		}
		w.next = revision + 1
		from = to
	}
	w.began = false
}

func (t *told) add(e *mvccpb.Event, prev bool) {
	const prime = 1099511628211
	t.digest = t.digest*prime + digest(e, prev)
	t.plain = t.plain*prime + digest(e, false)
}

func (w *Watcher) accuse(format string, args ...any) {
	if len(w.broken) < maxBroken {
		w.broken = append(w.broken, fmt.Sprintf(format, args...))
	}
}

// digest covers everything of an event that a watcher gets.
func digest(e *mvccpb.Event, prev bool) uint64 {
	h := fnv.New64a()
	pair := func(kv *mvccpb.KeyValue) {
		if kv != nil {
			fmt.Fprintf(h, "%q=%q %d %d %d %d;", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease)
		}
	}
	fmt.Fprintf(h, "%d ", e.Type)
	pair(e.Kv)
	if prev {
		pair(e.PrevKv)
	}
	return h.Sum64()
}

// History reads everything that ever happened to all keys, up to the event of the last one, from one watch with prev_kv.
func History(ctx context.Context, client *clientv3.Client, last string) ([]*mvccpb.Event, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all []*mvccpb.Event
	for response := range client.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(1), clientv3.WithPrevKV()) {
		if err := response.Err(); err != nil {
			return nil, fmt.Errorf("read the history: %w", err)
		}
		for _, e := range response.Events {
			all = append(all, (*mvccpb.Event)(e))
			if string(e.Kv.Key) == last {
				return all, nil
			}
		}
	}
	return nil, fmt.Errorf("read the history: it ended after %d events: %w", len(all), ctx.Err())
}

// Judge compares what a watcher was told with the history. The result is empty when all is well. etcd notes that a watch
// wants prev_kv after it has begun to serve it, so there its first revision may lack them.
func (w *Watcher) Judge(history []*mvccpb.Event, etcd bool) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var want []told
	for _, e := range history {
		switch revision := e.Kv.ModRevision; {
		case revision < w.first || !strings.HasPrefix(string(e.Kv.Key), w.Prefix):
			continue
		case len(want) == 0 || want[len(want)-1].revision != revision:
			want = append(want, told{revision: revision})
		}
		want[len(want)-1].add(e, w.PrevKV)
	}
	for i := range max(len(want), len(w.seen)) {
		switch {
		case i >= len(w.seen):
			w.accuse("%d of %d revisions, the first missing one is %d", len(w.seen), len(want), want[i].revision)
		case i >= len(want):
			w.accuse("revision %d is one too many", w.seen[i].revision)
		case want[i].revision != w.seen[i].revision:
			w.accuse("the %d-th revision is %d, want %d", i, w.seen[i].revision, want[i].revision)
		case want[i].digest != w.seen[i].digest && !(etcd && w.seen[i].first && want[i].plain == w.seen[i].plain):
			w.accuse("revision %d has other events", want[i].revision)
		default:
			continue
		}
		break
	}
	for _, p := range w.progress {
		if p.told < len(want) && want[p.told].revision <= p.revision {
			w.accuse("progress up to %d before revision %d was told", p.revision, want[p.told].revision)
			break
		}
	}
	return w.broken
}

// Counts sums up: revisions told, promises of progress, and how often the watch had to be made again.
func (w *Watcher) Counts() (revisions, progress, breaks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.seen), len(w.progress), w.breaks
}

func standBack(ctx context.Context) { wait(ctx, pause) }

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
