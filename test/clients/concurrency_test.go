package clients

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// TestMutex: workers on all nodes take turns in a critical section, while leaders are killed. What a worker writes is
// guarded by its ownership, so the counter must be what the acknowledged increments make it; and with sessions that live,
// no two may be inside at once.
func TestMutex(t *testing.T) {
	c := startCluster(t)
	ctx := within(t, 2*time.Minute)
	const workers, rounds = 6, 8
	var inside, increments, unknown atomic.Int64
	var wait sync.WaitGroup
	for w := range workers {
		client := newClient(t, c, w)
		session, err := concurrency.NewSession(client, concurrency.WithTTL(30))
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			for range rounds {
				mutex := concurrency.NewMutex(session, "clients/mutex")
				persist(ctx, t, "lock", mutex.Lock)
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d workers hold the lock", n)
				}
				increment(ctx, t, client, mutex, &increments, &unknown)
				inside.Add(-1)
				persist(ctx, t, "unlock", func(ctx context.Context) error {
					if err := mutex.Unlock(ctx); !errors.Is(err, concurrency.ErrLockReleased) {
						return err
					}
					return nil
				})
			}
		})
	}
	replaceLeader(t, c)
	replaceLeader(t, c)
	wait.Wait()
	got, err := c.Client().Get(ctx, "clients/counter")
	if err != nil {
		t.Fatal(err)
	}
	value, _ := strconv.ParseInt(string(got.Kvs[0].Value), 10, 64)
	if value < increments.Load() || value > increments.Load()+unknown.Load() {
		t.Errorf("the counter is %d after %d increments and %d that may have been", value, increments.Load(), unknown.Load())
	}
	if increments.Load()+unknown.Load() != workers*rounds {
		t.Errorf("%d increments and %d unknown, want %d", increments.Load(), unknown.Load(), workers*rounds)
	}
}

// increment adds one to the counter, if the lock is still held.
func increment(ctx context.Context, t *testing.T, client *clientv3.Client, mutex *concurrency.Mutex, done, unknown *atomic.Int64) {
	var value int64
	persist(ctx, t, "read the counter", func(ctx context.Context) error {
		got, err := client.Get(ctx, "clients/counter")
		if err == nil && len(got.Kvs) > 0 {
			value, err = strconv.ParseInt(string(got.Kvs[0].Value), 10, 64)
		}
		return err
	})
	requestCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	response, err := client.Txn(requestCtx).If(mutex.IsOwner()).
		Then(clientv3.OpPut("clients/counter", fmt.Sprint(value+1))).Commit()
	switch {
	case err != nil:
		unknown.Add(1)
	case !response.Succeeded:
		t.Errorf("the lock was lost although its session lives")
	default:
		done.Add(1)
	}
}

// TestMutexExpires: a lock dies with its session, and the next in line gets it.
func TestMutexExpires(t *testing.T) {
	c := startCluster(t)
	ctx := within(t, time.Minute)
	first, second := newClient(t, c, 0), newClient(t, c, 1)
	lost, err := concurrency.NewSession(first, concurrency.WithTTL(2))
	if err != nil {
		t.Fatal(err)
	}
	alive, err := concurrency.NewSession(second, concurrency.WithTTL(10))
	if err != nil {
		t.Fatal(err)
	}
	held, waits := concurrency.NewMutex(lost, "clients/expires"), concurrency.NewMutex(alive, "clients/expires")
	if err := held.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := waits.TryLock(ctx); !errors.Is(err, concurrency.ErrLocked) {
		t.Errorf("try: %v", err)
	}
	lost.Orphan() // nobody renews it any more
	begin := time.Now()
	if err := waits.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(begin); waited > 8*time.Second {
		t.Errorf("the lock of a session of 2 s was free after %v", waited)
	}
	response, err := second.Txn(ctx).If(held.IsOwner()).Then(clientv3.OpPut("clients/stale", "x")).Commit()
	if err != nil || response.Succeeded {
		t.Errorf("the one that lost the lock writes: %v, %v", response, err)
	}
}

// TestElection: one leader at a time, seen by an observer, across the loss of the raft leader and of the elected one.
func TestElection(t *testing.T) {
	c := startCluster(t)
	ctx := within(t, 2*time.Minute)
	var elections []*concurrency.Election
	var sessions []*concurrency.Session
	for n := range 3 {
		session, err := concurrency.NewSession(newClient(t, c, n), concurrency.WithTTL(20))
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, session)
		elections = append(elections, concurrency.NewElection(session, "clients/election"))
	}
	seen := elections[2].Observe(ctx)
	await := func(want string) {
		t.Helper()
		for {
			select {
			case response, ok := <-seen:
				if !ok {
					t.Fatalf("the observer's channel was closed before %q", want)
				}
				if string(response.Kvs[0].Value) == want {
					return
				}
			case <-time.After(failoverTimeout):
				t.Fatalf("the observer does not see %q", want)
			}
		}
	}
	if _, err := elections[0].Leader(ctx); !errors.Is(err, concurrency.ErrElectionNoLeader) {
		t.Errorf("leader of nothing: %v", err)
	}
	if err := elections[0].Campaign(ctx, "zero"); err != nil {
		t.Fatal(err)
	}
	await("zero")
	elected := make(chan struct{})
	go func() {
		defer close(elected)
		persist(ctx, t, "campaign", func(context.Context) error { return elections[1].Campaign(ctx, "one") })
	}()
	replaceLeader(t, c)
	persist(ctx, t, "proclaim", func(ctx context.Context) error { return elections[0].Proclaim(ctx, "zero again") })
	await("zero again")
	select {
	case <-elected:
		t.Fatal("two are elected")
	default:
	}
	// The elected one vanishes: its session ends, its key goes.
	if err := sessions[0].Close(); err != nil {
		t.Fatal(err)
	}
	<-elected
	await("one")
	if err := elections[0].Proclaim(ctx, "ghost"); !errors.Is(err, concurrency.ErrElectionNotLeader) {
		t.Errorf("proclaim of one that lost: %v", err)
	}
	if err := elections[1].Resign(ctx); err != nil {
		t.Error(err)
	}
	if _, err := elections[2].Leader(ctx); !errors.Is(err, concurrency.ErrElectionNoLeader) {
		t.Errorf("leader after the resignation: %v", err)
	}
}

// TestSTM moves amounts between accounts from all nodes at once, with leaders killed: the sum stays.
func TestSTM(t *testing.T) {
	c := startCluster(t)
	ctx := within(t, 2*time.Minute)
	const accounts, total = 5, 500
	account := func(i int) string { return fmt.Sprintf("clients/account/%d", i%accounts) }
	for i := range accounts {
		if _, err := c.Client().Put(ctx, account(i), fmt.Sprint(total/accounts)); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	var moves atomic.Int64
	for w := range 6 {
		client := newClient(t, c, w)
		isolation := []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable, concurrency.RepeatableReads}[w%3]
		wait.Go(func() {
			for i := range 30 {
				from, to := account(w+i), account(w*2+i+1+w%2)
				if from == to {
					continue
				}
				persist(ctx, t, "transaction", func(ctx context.Context) error {
					_, err := concurrency.NewSTM(client, func(s concurrency.STM) error {
						a, _ := strconv.Atoi(s.Get(from))
						b, _ := strconv.Atoi(s.Get(to))
						s.Put(from, fmt.Sprint(a-1))
						s.Put(to, fmt.Sprint(b+1))
						return nil
					}, concurrency.WithIsolation(isolation), concurrency.WithAbortContext(ctx))
					return err
				})
				moves.Add(1)
			}
		})
	}
	replaceLeader(t, c)
	wait.Wait()
	got, err := c.Client().Get(ctx, "clients/account/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, kv := range got.Kvs {
		n, _ := strconv.Atoi(string(kv.Value))
		sum += n
	}
	if sum != total {
		t.Errorf("the accounts hold %d after %d moves, want %d: %v", sum, moves.Load(), total, got.Kvs)
	}
}
