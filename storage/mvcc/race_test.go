package mvcc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

func mustGet(t testing.TB, r Reader, key string) *mvccpb.KeyValue {
	t.Helper()
	res, err := r.Range([]byte(key), nil, RangeOptions{})
	if err != nil || len(res.KVs) != 1 {
		t.Fatalf("get %q: %v, %v", key, res, err)
	}
	return res.KVs[0]
}

// TestReadersBesideTheWriter lets many goroutines read views, new ones and old ones, while the writer writes, flushes,
// compacts and switches its files. Every transaction writes the same number under all keys, so a view that is not one
// state of the store shows two numbers. Run it with -race.
func TestReadersBesideTheWriter(t *testing.T) {
	const readers, keys, writes = 4, 40, 1500
	r := newRig(t)
	write := func(n int) {
		w := r.store.Begin()
		for k := range keys {
			w.Put(fmt.Appendf(nil, "key%02d", k), fmt.Append(nil, n), 0)
		}
		w.Put(fmt.Appendf(nil, "key%02d/only/%d", n%keys, n), nil, 0)
		w.DeleteRange(fmt.Appendf(nil, "key%02d/only/%d", n%keys, n-7), nil)
		w.End()
	}
	write(0)
	var current atomic.Pointer[View]
	current.Store(r.store.View())
	var done atomic.Bool
	var group sync.WaitGroup
	var stale, read atomic.Int64
	for i := range readers {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			for v := current.Load(); !done.Load(); {
				if rng.IntN(4) > 0 {
					v = current.Load() // else go on with the old one
				}
				o := RangeOptions{}
				if rng.IntN(2) == 0 {
					o.Revision = max(v.CompactRevision(), v.Revision()-rng.Int64N(20), 2)
				}
				res, err := v.Range([]byte("key"), []byte("key99"), o)
				if errors.Is(err, ErrStaleView) || errors.Is(err, ErrCompacted) {
					stale.Add(1)
					v = current.Load()
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				read.Add(1)
				number := ""
				for _, kv := range res.KVs {
					if len(kv.Key) != len("key00") {
						continue
					}
					if number == "" {
						number = string(kv.Value)
					}
					if string(kv.Value) != number {
						t.Errorf("one view, two numbers: %s and %s", number, kv.Value)
						return
					}
				}
				if rng.IntN(50) == 0 {
					if _, err := v.HashKV(0); err != nil && !errors.Is(err, ErrStaleView) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for n := 1; n <= writes; n++ {
		write(n)
		if rng.IntN(10) == 0 {
			r.compact(max(r.store.Revision()-rng.Int64N(30), r.store.CompactRevision()+1))
		}
		r.store.CompactStep(rng.IntN(200))
		current.Store(r.store.View())
		if rng.IntN(10) == 0 {
			r.flushStep()
			committed := make(chan struct{})
			go func() { defer close(committed); r.flushStep() }()
			for range rng.IntN(5) {
				n++
				write(n)
				r.store.CompactStep(rng.IntN(200))
				current.Store(r.store.View())
			}
			<-committed
			r.flushStep()
			current.Store(r.store.View())
		}
		if rng.IntN(400) == 0 {
			r.flush()
			r.reopen() // readers of the old files get ErrStaleView
			current.Store(r.store.View())
		}
	}
	done.Store(true)
	group.Wait()
	t.Logf("%d reads, %d of stale views", read.Load(), stale.Load())
}
