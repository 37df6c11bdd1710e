package server

import (
	"context"
	"fmt"
	"slices"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/server/v3lockpb"
)

// locked is what a call of Lock ended with.
type locked struct {
	resp *v3lockpb.LockResponse
	err  error
}

// lock calls Lock and does not wait for it. The channel is sent to once.
func lock(ctx context.Context, l *lockServer, lease int64) <-chan locked {
	ended := make(chan locked, 1)
	go func() {
		resp, err := l.Lock(ctx, &v3lockpb.LockRequest{Name: []byte("n"), Lease: lease})
		ended <- locked{resp, err}
	}()
	return ended
}

// newLock returns a lock service on a store with leases 1 to 9.
func newLock(t *testing.T) (*queueStore, *lockServer) {
	s, q := newQueueStore(t)
	for lease := range int64(9) {
		s.leases[lease+1] = true
	}
	return s, &lockServer{queues: q}
}

func unlock(t *testing.T, l *lockServer, key string) {
	t.Helper()
	if _, err := l.Unlock(testContext(t), &v3lockpb.UnlockRequest{Key: []byte(key)}); err != nil {
		t.Fatal(err)
	}
}

func checkBare(t *testing.T, err error, text string) {
	t.Helper()
	checkStatus(t, err, status.Error(codes.Unknown, text))
}

func TestLockIsGivenInTheOrderOfArrival(t *testing.T) {
	s, l := newLock(t)
	var calls []<-chan locked
	for lease := range int64(5) {
		calls = append(calls, lock(testContext(t), l, lease+1))
		s.await(t, "the waiter has its key", func() bool { return len(s.kvs) == int(lease)+1 })
	}
	for i, call := range calls {
		got := <-call
		if got.err != nil {
			t.Fatal(got.err)
		}
		key := fmt.Sprintf("n/%x", i+1)
		if string(got.resp.Key) != key {
			t.Errorf("key %q, want %q", got.resp.Key, key)
		}
		for j, later := range calls[i+1:] {
			select {
			case got := <-later:
				t.Fatalf("waiter %d did not wait: %v", i+1+j, got)
			default:
			}
		}
		// The header fences: at its revision the key is first.
		s.mu.Lock()
		if first := s.keys()[0]; first != key || got.resp.Header.Revision != s.revision && i > 0 {
			t.Errorf("%q is first at revision %d, and %q was answered at %d", first, s.revision, key, got.resp.Header.Revision)
		}
		s.mu.Unlock()
		unlock(t, l, key)
	}
}

func TestLockingAgainWithTheSameLeaseChangesNothing(t *testing.T) {
	s, l := newLock(t)
	first := <-lock(testContext(t), l, 1)
	again := <-lock(testContext(t), l, 1)
	if first.err != nil || again.err != nil {
		t.Fatal(first.err, again.err)
	}
	if string(again.resp.Key) != string(first.resp.Key) || again.resp.Header.Revision != first.resp.Header.Revision || s.revision != 2 {
		t.Errorf("first %v, again %v, revision %d", first.resp, again.resp, s.revision)
	}
}

func TestWhoStopsWaitingLeavesNothingBehind(t *testing.T) {
	for i, lease := range []int64{2, 0, 2, 0} {
		s, l := newLock(t)
		if got := <-lock(testContext(t), l, 1); got.err != nil {
			t.Fatal(got.err)
		}
		ctx, cancel := context.WithCancel(testContext(t))
		waiter := lock(ctx, l, lease)
		// Before the service has heard that it has a key, or when it waits.
		s.await(t, "the waiter has its key", func() bool { return len(s.kvs) == 2 && (i < 2 || s.watches == 1) })
		cancel()
		got := <-waiter
		checkStatus(t, got.err, status.FromContextError(context.Canceled).Err())
		s.mu.Lock()
		if len(s.kvs) != 1 || len(s.leases) != 9 {
			t.Errorf("lease %d: left behind: %v, leases %v", lease, s.keys(), s.leases)
		}
		s.mu.Unlock()
	}
}

func TestLeaseThatEndsWhileWaiting(t *testing.T) {
	s, l := newLock(t)
	if got := <-lock(testContext(t), l, 1); got.err != nil {
		t.Fatal(got.err)
	}
	waiter := lock(testContext(t), l, 2)
	s.await(t, "it waits", func() bool { return s.watches == 1 })
	s.mu.Lock()
	s.revoke(2)
	s.mu.Unlock()
	// The lock need not become free for the waiter to hear of it.
	checkBare(t, (<-waiter).err, "mutex: session is expired")
}

// A waiter's key is deleted and made again, behind somebody else, when it does not look: just before the lock it waits
// for becomes free. To look whether the key is there would not do.
func TestKeyMadeAgainIsAnotherPlace(t *testing.T) {
	s, l := newLock(t)
	for _, change := range []struct {
		name string
		do   func()
	}{
		{"created again", func() {
			s.change(func() { s.remove([]byte("n/2")) })
			s.change(func() { s.put(&pb.PutRequest{Key: []byte("n/3"), Lease: 3}) })
			s.change(func() { s.put(&pb.PutRequest{Key: []byte("n/2"), Lease: 2}) })
		}},
		{"without its lease", func() { s.change(func() { s.put(&pb.PutRequest{Key: []byte("n/2")}) }) }},
	} {
		s.mu.Lock()
		clear(s.kvs)
		// After the transaction by which lease 2 joins.
		s.afterTxn = func(r *pb.TxnRequest) {
			if len(r.Failure) == 0 || r.Success[0].GetRequestPut().GetLease() != 2 {
				return
			}
			s.afterTxn = nil
			change.do()
			s.change(func() { s.remove([]byte("n/1")) })
		}
		s.mu.Unlock()
		if got := <-lock(testContext(t), l, 1); got.err != nil {
			t.Fatal(got.err)
		}
		got := <-lock(testContext(t), l, 2)
		if got.err == nil {
			t.Fatalf("%s: holds the lock: %v, keys %v", change.name, got.resp, s.keys())
		}
		checkBare(t, got.err, "mutex: session is expired")
	}
}

func TestLockWithoutALease(t *testing.T) {
	s, l := newLock(t)
	got := <-lock(testContext(t), l, 0)
	if got.err != nil {
		t.Fatal(got.err)
	}
	kv := s.kvs[string(got.resp.Key)]
	if kv == nil || string(kv.Key) != fmt.Sprintf("n/%x", kv.Lease) || !s.leases[kv.Lease] {
		t.Errorf("key %v, leases %v", kv, s.leases)
	}
}

func TestLockErrorsAreEtcds(t *testing.T) {
	s, l := newLock(t)
	checkBare(t, (<-lock(testContext(t), l, 77)).err, rpctypes.ErrorDesc(rpctypes.ErrGRPCLeaseNotFound))
	_, err := l.Unlock(testContext(t), &v3lockpb.UnlockRequest{})
	checkBare(t, err, rpctypes.ErrorDesc(rpctypes.ErrGRPCEmptyKey))
	if len(s.kvs) != 0 {
		t.Errorf("left behind: %v", s.keys())
	}
}

// What is waited for may be compacted away before it is seen.
func TestWaitingSurvivesCompaction(t *testing.T) {
	s, l := newLock(t)
	s.compacted = 2
	if got := <-lock(testContext(t), l, 1); got.err != nil {
		t.Fatal(got.err)
	}
	waiter := lock(testContext(t), l, 2)
	s.await(t, "it looks again", func() bool { return s.watches >= 3 })
	unlock(t, l, "n/1")
	if got := <-waiter; got.err != nil {
		t.Fatal(got.err)
	}
}

func TestCallsCarryTheCallersCredentials(t *testing.T) {
	s, l := newLock(t)
	in := metadata.NewIncomingContext(testContext(t), metadata.Pairs("token", "mine", "other", "kept"))
	ctx, cancel := context.WithCancel(in)
	if got := <-lock(ctx, l, 1); got.err != nil {
		t.Fatal(got.err)
	}
	waiter := lock(ctx, l, 2)
	s.await(t, "it waits", func() bool { return s.watches == 1 })
	cancel()
	<-waiter
	md, _ := metadata.FromOutgoingContext(onBehalf(in))
	if !slices.Equal(md.Get("token"), []string{"mine"}) || len(md.Get("other")) != 0 {
		t.Errorf("passed on: %v", md)
	}
	if !s.tokens["mine"] || len(s.tokens) != 1 {
		t.Errorf("the store saw tokens %v", s.tokens)
	}
}

// Whoever is gone by the time the lock is theirs does not keep it; unless they held it before.
func TestCallerWhoIsGoneWhenTheLockIsFree(t *testing.T) {
	for _, held := range []bool{false, true} {
		s, l := newLock(t)
		if held {
			if got := <-lock(testContext(t), l, 1); got.err != nil {
				t.Fatal(got.err)
			}
		}
		ctx, cancel := context.WithCancel(testContext(t))
		s.mu.Lock()
		s.afterTxn = func(*pb.TxnRequest) { s.afterTxn = nil; cancel() }
		s.mu.Unlock()
		<-lock(ctx, l, 1)
		s.mu.Lock()
		if (len(s.kvs) == 1) != held {
			t.Errorf("held before: %v; held now: %v", held, s.keys())
		}
		s.mu.Unlock()
	}
}
