package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Leases grants leases, puts keys on some, keeps some alive, and remembers what it was promised about their lives.
type Leases struct {
	Clients func(n int) (pb.LeaseClient, pb.KVClient) // of the n-th node, any n
	Count   int
	Kept    int           // so many of them are kept alive
	TTL     time.Duration // of the shortest; others have up to three times as much
	Over    time.Duration // they are granted over so long
	Timeout time.Duration // of one request
	Seed    uint64

	mu     sync.Mutex
	leases []*leased
	broken []string
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

// leased is one lease.
type leased struct {
	id      int64
	ttl     time.Duration
	kept    bool
	granted bool      // certainly
	sure    time.Time // begin of the last request that certainly renewed it
	latest  time.Time // end of the last request that may have
	gap     bool      // it could have died between two renewals
	dead    bool      // a keep-alive said so
	renewed int
}

// LeaseKey is the n-th key of a lease.
func LeaseKey(lease int64, n int) string { return fmt.Sprintf("l%06d/%d", lease, n) }

// firstLease is the smallest of the ids.
const firstLease = 1000

// Start begins to grant.
func (l *Leases) Start() {
	var ctx context.Context
	ctx, l.cancel = context.WithCancel(context.Background())
	rng := rand.New(rand.NewPCG(l.Seed, 1))
	for i := range l.Count {
		lease := &leased{id: firstLease + int64(i), kept: i%l.Count*l.Kept/l.Count != (i+1)*l.Kept/l.Count}
		lease.ttl = (l.TTL + time.Duration(rng.Int64N(int64(2*l.TTL)))).Round(time.Second)
		l.leases = append(l.leases, lease)
		begin := time.Duration(rng.Int64N(int64(l.Over)))
		keys := max(rng.IntN(5)-1, 0)
		own := rand.New(rand.NewPCG(l.Seed, uint64(lease.id)))
		l.wait.Go(func() {
			wait(ctx, begin)
			if ctx.Err() == nil && l.grant(ctx, lease, own) {
				l.attach(ctx, lease, keys, own)
				l.keep(ctx, lease, own)
			}
		})
	}
}

// Stop ends renewals; from now on all leases may die.
func (l *Leases) Stop() {
	l.cancel()
	l.wait.Wait()
}

func (l *Leases) accuse(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.broken) < maxBroken {
		l.broken = append(l.broken, fmt.Sprintf(format, args...))
	}
}

// grant asks until there is an answer: a lease that exists already was granted by a request that failed.
func (l *Leases) grant(ctx context.Context, lease *leased, rng *rand.Rand) bool {
	for ctx.Err() == nil {
		leases, _ := l.Clients(rng.Int())
		begin := time.Now()
		requestCtx, cancel := context.WithTimeout(context.Background(), l.Timeout)
		response, err := leases.LeaseGrant(requestCtx, &pb.LeaseGrantRequest{ID: lease.id, TTL: int64(lease.ttl / time.Second)})
		cancel()
		l.mu.Lock()
		lease.latest = time.Now()
		if err == nil {
			lease.granted, lease.sure = true, begin
		}
		l.mu.Unlock()
		switch {
		case err == nil:
			if response.TTL != int64(lease.ttl/time.Second) {
				l.accuse("lease %d was granted %d s, asked for %v", lease.id, response.TTL, lease.ttl)
			}
			return true
		case errors.Is(rpctypes.Error(err), rpctypes.ErrLeaseExist):
			return true // since when is not known
		}
		standBack(ctx)
	}
	return false
}

func (l *Leases) attach(ctx context.Context, lease *leased, keys int, rng *rand.Rand) {
	for n := range keys {
		_, kv := l.Clients(rng.Int())
		requestCtx, cancel := context.WithTimeout(context.Background(), l.Timeout)
		// It may fail; the history tells which keys there were.
		kv.Put(requestCtx, &pb.PutRequest{Key: []byte(LeaseKey(lease.id, n)), Value: []byte("x"), Lease: lease.id})
		cancel()
		if ctx.Err() != nil {
			return
		}
	}
}

// keep renews a lease three times in its TTL, on ever other nodes.
func (l *Leases) keep(ctx context.Context, lease *leased, rng *rand.Rand) {
	for lease.kept && ctx.Err() == nil {
		leases, _ := l.Clients(rng.Int())
		begin := time.Now()
		requestCtx, cancel := context.WithTimeout(context.Background(), l.Timeout)
		ttl, err := renew(requestCtx, leases, lease.id)
		cancel()
		end := time.Now()
		l.mu.Lock()
		lease.latest = end
		if !lease.sure.IsZero() && end.Sub(lease.sure) > lease.ttl {
			lease.gap = true
		}
		if err == nil {
			lease.dead = ttl <= 0
			if ttl > 0 {
				lease.sure = begin
				lease.renewed++
			}
		}
		early := lease.dead && lease.granted && end.Before(lease.sure.Add(lease.ttl))
		l.mu.Unlock()
		if early {
			l.accuse("lease %d of %v is dead %v after it was last renewed", lease.id, lease.ttl, end.Sub(lease.sure))
		}
		if lease.dead {
			return
		}
		if err != nil {
			standBack(ctx)
			continue
		}
		wait(ctx, lease.ttl/3)
	}
}

// renew keeps a lease alive once.
func renew(ctx context.Context, leases pb.LeaseClient, id int64) (ttl int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := leases.LeaseKeepAlive(ctx)
	if err != nil {
		return 0, err
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
		return 0, err
	}
	response, err := stream.Recv()
	if err != nil {
		return 0, err
	}
	return response.TTL, nil
}

// Alive asks for every lease that was renewed in time to the last: it must live. Call it before Stop.
func (l *Leases) Alive(ctx context.Context, client *clientv3.Client) (alive int, err error) {
	for _, lease := range l.leases {
		response, err := client.TimeToLive(ctx, clientv3.LeaseID(lease.id))
		if err != nil {
			return alive, fmt.Errorf("ask for lease %d: %w", lease.id, err)
		}
		now := time.Now()
		l.mu.Lock()
		due := lease.granted && now.Before(lease.sure.Add(lease.ttl))
		since := now.Sub(lease.sure)
		l.mu.Unlock()
		switch {
		case response.TTL >= 0:
			alive++
		case due:
			l.accuse("lease %d of %v is dead %v after it was last renewed", lease.id, lease.ttl, since)
		}
	}
	return alive, nil
}

// Last is when the last lease has to be dead that nobody renews any more, slack included.
func (l *Leases) Last(slack time.Duration) (last time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lease := range l.leases {
		if end := lease.latest.Add(lease.ttl + slack); !lease.latest.IsZero() && end.After(last) {
			last = end
		}
	}
	return last
}

// Judge holds the history, and when its revisions were seen, against the promises. A lease may live on for slack longer
// than its TTL; a negative slack leaves that out.
func (l *Leases) Judge(history []*mvccpb.Event, seen func(revision int64) time.Time, slack time.Duration) []string {
	type life struct {
		attached map[string]bool
		end      int64
	}
	lives := map[int64]*life{}
	for _, e := range history {
		if e.Type == mvccpb.Event_PUT && e.Kv.Lease >= firstLease {
			if lives[e.Kv.Lease] == nil {
				lives[e.Kv.Lease] = &life{attached: map[string]bool{}}
			}
			if lives[e.Kv.Lease].end != 0 {
				l.accuse("%s is put with lease %d, which ended at %d", e.Kv.Key, e.Kv.Lease, lives[e.Kv.Lease].end)
			}
			lives[e.Kv.Lease].attached[string(e.Kv.Key)] = true
		}
		if e.Type != mvccpb.Event_DELETE || e.PrevKv == nil || e.PrevKv.Lease < firstLease {
			continue
		}
		of := lives[e.PrevKv.Lease]
		if of.end != 0 && of.end != e.Kv.ModRevision {
			l.accuse("keys of lease %d go at revisions %d and %d", e.PrevKv.Lease, of.end, e.Kv.ModRevision)
		}
		of.end = e.Kv.ModRevision
		delete(of.attached, string(e.Kv.Key))
	}
	for id, of := range lives {
		if len(of.attached) > 0 {
			l.accuse("lease %d ended at %d (0: never) and left %d keys", id, of.end, len(of.attached))
		}
	}
	for _, lease := range l.leases {
		of := lives[lease.id]
		if of == nil || of.end == 0 {
			continue
		}
		at := seen(of.end)
		if lease.granted && at.Before(lease.sure.Add(lease.ttl)) {
			l.accuse("lease %d of %v ended %v after it was last renewed", lease.id, lease.ttl, at.Sub(lease.sure))
		}
		if slack >= 0 && at.After(lease.latest.Add(lease.ttl+slack)) {
			l.accuse("lease %d of %v ended %v after anybody renewed it", lease.id, lease.ttl, at.Sub(lease.latest))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// String sums up.
func (l *Leases) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var granted, kept, renewals, gaps, dead int
	for _, lease := range l.leases {
		renewals += lease.renewed
		if lease.granted {
			granted++
		}
		if lease.kept {
			kept++
			if lease.gap {
				gaps++
			}
			if lease.dead {
				dead++
			}
		}
	}
	return fmt.Sprintf("%d leases granted for certain, %d kept alive by %d renewals: %d of them once too late, %d of those dead",
		granted, kept, renewals, gaps, dead)
}
