package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// KV is what the load needs of a client; *clientv3.Client has it. Safe from any goroutine.
type KV interface {
	Put(ctx context.Context, key, value string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error)
	Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error)
}

// Target is one node as the load sees it.
type Target struct {
	Client KV
	// Generation tells one process of the node from the next: equal before and after a request, the same process
	// answered. nil when the node never restarts.
	Generation func() int64
}

// Config describes a load.
type Config struct {
	Targets []Target
	Any     KV // a client of all nodes; half of the writers use it. nil: all writers stay with one node
	Writers int
	Readers int
	Timeout time.Duration // of one request; default 5 s
	Pace    time.Duration // between two writes of a writer, and two reads of a reader; 0: none
	Seed    uint64
}

// pause is how long a writer or reader stands back after an error: it bounds the attempts against a node that is down.
const pause = 20 * time.Millisecond

// Load is a running load.
type Load struct {
	Ledger *Ledger

	cfg     Config
	floor   Floor
	nodes   []nodeFloor // serializable reads, by target
	reads   atomic.Int64
	failed  atomic.Int64
	ctx     context.Context
	cancel  context.CancelFunc
	workers sync.WaitGroup
}

// nodeFloor is the floor of serializable reads from one process of one node.
type nodeFloor struct {
	mu         sync.Mutex
	generation int64
	revision   int64
}

// Start begins to write and read. Stop ends it.
func Start(cfg Config) *Load {
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	l := &Load{Ledger: NewLedger(cfg.Writers), cfg: cfg, nodes: make([]nodeFloor, len(cfg.Targets))}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	for w := range cfg.Writers {
		client := cfg.Targets[w%len(cfg.Targets)].Client
		if cfg.Any != nil && w%2 == 1 {
			client = cfg.Any
		}
		l.workers.Go(func() { l.write(w, client) })
	}
	for r := range cfg.Readers {
		rng := rand.New(rand.NewPCG(cfg.Seed, uint64(r)))
		l.workers.Go(func() { l.read(rng) })
	}
	return l
}

// Stop ends the load and waits for it. Requests under way get their answer or their timeout, so that a late
// acknowledgement is still one.
func (l *Load) Stop() {
	l.cancel()
	l.workers.Wait()
}

// AwaitAcks waits for so many acknowledgements more.
func (l *Load) AwaitAcks(more int64, timeout time.Duration) error {
	begin := l.Ledger.Acked()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	reached := l.Ledger.reached(begin + more)
	if reached == nil {
		return nil
	}
	select {
	case <-reached:
		return nil
	case <-timer.C:
		return fmt.Errorf("%d of %d acknowledgements within %v", l.Ledger.Acked()-begin, more, timeout)
	}
}

// String sums the load up.
func (l *Load) String() string {
	return fmt.Sprintf("%d writes acknowledged of %d, %d reads, %d requests failed, revision %d",
		l.Ledger.Acked(), l.Ledger.Attempts(), l.reads.Load(), l.failed.Load(), l.floor.Get())
}

func (l *Load) write(writer int, client KV) {
	for l.ctx.Err() == nil {
		n, key := l.Ledger.Attempt(writer)
		floor := l.floor.Get()
		ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Timeout)
		response, err := client.Put(ctx, key, Value(key))
		cancel()
		if err != nil { // it may be applied or not, now or later
			l.failed.Add(1)
			l.standBack()
			continue
		}
		revision := response.Header.Revision
		if revision <= floor {
			l.Ledger.accuse("put of %s answered revision %d, after revision %d was answered", key, revision, floor)
		}
		l.floor.Raise(revision)
		l.Ledger.Ack(writer, n, revision)
		if l.cfg.Pace > 0 {
			wait(l.ctx, l.cfg.Pace)
		}
	}
}

func (l *Load) read(rng *rand.Rand) {
	for l.ctx.Err() == nil {
		node := rng.IntN(len(l.cfg.Targets))
		var err error
		if rng.IntN(4) == 0 {
			err = l.readLocal(node)
		} else {
			err = l.readNewest(node, rng.IntN(l.cfg.Writers))
		}
		l.reads.Add(1)
		if l.cfg.Pace > 0 {
			wait(l.ctx, l.cfg.Pace)
		}
		if err != nil {
			l.failed.Add(1)
			l.standBack()
		}
	}
}

// readNewest reads, linearizably, the newest key that a writer was promised.
func (l *Load) readNewest(node, writer int) error {
	key, promised, ok := l.Ledger.lastAcked(writer)
	if !ok {
		key = "w"
	}
	floor := l.floor.Get()
	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Timeout)
	defer cancel()
	response, err := l.cfg.Targets[node].Client.Get(ctx, key)
	if err != nil {
		return err
	}
	revision := response.Header.Revision
	if revision < floor {
		l.Ledger.accuse("read from node %d answered revision %d, after revision %d was answered", node, revision, floor)
	}
	l.floor.Raise(revision)
	if !ok {
		return nil
	}
	if len(response.Kvs) != 1 {
		l.Ledger.accuse("read from node %d at revision %d lacks %s, acknowledged at %d", node, revision, key, promised)
	} else if kv := response.Kvs[0]; kv.ModRevision != promised || string(kv.Value) != Value(key) {
		l.Ledger.accuse("read from node %d has %s at revision %d with value %q, acknowledged at %d", node, key,
			kv.ModRevision, kv.Value, promised)
	}
	return nil
}

// readLocal reads serializably: it may be stale, but one process never goes back.
func (l *Load) readLocal(node int) error {
	target, seen := l.cfg.Targets[node], &l.nodes[node]
	var generation int64
	if target.Generation != nil {
		generation = target.Generation()
	}
	seen.mu.Lock()
	var floor int64
	if seen.generation == generation {
		floor = seen.revision
	}
	seen.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Timeout)
	defer cancel()
	response, err := target.Client.Get(ctx, "w", clientv3.WithSerializable())
	if err != nil {
		return err
	}
	if target.Generation != nil && target.Generation() != generation {
		return nil
	}
	revision := response.Header.Revision
	if revision < floor {
		l.Ledger.accuse("serializable read from node %d answered revision %d, after it had answered %d", node, revision, floor)
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if seen.generation != generation {
		seen.generation, seen.revision = generation, 0
	}
	seen.revision = max(seen.revision, revision)
	return nil
}

func (l *Load) standBack() { standBack(l.ctx) }
