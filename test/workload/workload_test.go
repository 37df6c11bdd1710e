package workload

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ledger with two writers: w0 has keys 0 (acked at 2), 1 (unknown), 2 (acked at 5); w1 has key 0 (acked at 3).
func example() (*Ledger, []*mvccpb.KeyValue) {
	l := NewLedger(2)
	for range 3 {
		l.Attempt(0)
	}
	l.Attempt(1)
	l.Ack(0, 0, 2)
	l.Ack(0, 2, 5)
	l.Ack(1, 0, 3)
	return l, []*mvccpb.KeyValue{kv(0, 0, 2), kv(0, 2, 5), kv(1, 0, 3)}
}

func kv(writer, n int, revision int64) *mvccpb.KeyValue {
	key := Key(writer, n)
	return &mvccpb.KeyValue{Key: []byte(key), Value: []byte(Value(key)), CreateRevision: revision,
		ModRevision: revision, Version: 1}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name   string
		change func(dump []*mvccpb.KeyValue) []*mvccpb.KeyValue
		want   string // part of the only complaint; "" for none
	}{
		{"as promised", func(d []*mvccpb.KeyValue) []*mvccpb.KeyValue { return d }, ""},
		{"unknown one arrived", func(d []*mvccpb.KeyValue) []*mvccpb.KeyValue { return append(d, kv(0, 1, 4)) }, ""},
		{"lost", func(d []*mvccpb.KeyValue) []*mvccpb.KeyValue { return d[:2] }, "lost, acknowledged at revision 3"},
		{"other revision", func(d []*mvccpb.KeyValue) []*mvccpb.KeyValue { d[1].ModRevision = 6; return d },
			"acknowledged at 5"},
		{"other value", func(d []*mvccpb.KeyValue) []*mvccpb.KeyValue { d[1].Value = []byte("x"); return d }, "has value"},
		{"twice", func(d []*mvccpb.KeyValue) []*mvccpb.KeyValue { d[1].Version = 2; return d }, "applied twice"},
		{"never attempted", func(d []*mvccpb.KeyValue) []*mvccpb.KeyValue { return append(d, kv(1, 1, 9)) },
			"never written"},
		{"not a key of ours", func(d []*mvccpb.KeyValue) []*mvccpb.KeyValue {
			return append(d, &mvccpb.KeyValue{Key: []byte("w0/1"), Version: 1})
		}, "never written"},
		{"listed twice", func(d []*mvccpb.KeyValue) []*mvccpb.KeyValue { return append(d, d[0]) }, "listed twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, dump := example()
			wrong := strings.Join(l.Judge(tt.change(dump)), "; ")
			if (wrong == "") != (tt.want == "") || !strings.Contains(wrong, tt.want) {
				t.Errorf("complaints %q, want %q", wrong, tt.want)
			}
		})
	}
}

func TestAwaitAcks(t *testing.T) {
	load := &Load{Ledger: NewLedger(1)}
	done := make(chan error)
	go func() { done <- load.AwaitAcks(3, time.Minute) }()
	for i := range 5 { // more than awaited: whenever the waiter starts to count, three follow or time runs on
		load.Ledger.Attempt(0)
		load.Ledger.Ack(0, i, int64(i+2))
	}
	for i := 5; ; i++ {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if err := load.AwaitAcks(1, time.Millisecond); err == nil {
				t.Fatal("no error without acknowledgements")
			}
			return
		default:
			load.Ledger.Attempt(0)
			load.Ledger.Ack(0, i, int64(i+2))
		}
	}
}

func TestFloor(t *testing.T) {
	var f Floor
	f.Raise(5)
	f.Raise(3)
	if f.Get() != 5 {
		t.Errorf("floor is %d", f.Get())
	}
}

func TestValue(t *testing.T) {
	shortest, longest := 1<<30, 0
	for n := range 1000 {
		size := len(Value(Key(1, n)))
		shortest, longest = min(shortest, size), max(longest, size)
	}
	if shortest != 32 || longest != 256 {
		t.Errorf("values of %d to %d bytes", shortest, longest)
	}
	if Value("a") == Value("b") {
		t.Error("two keys share a value")
	}
}

// fakeStore is a store in memory that lies on demand: each function may change an answer.
type fakeStore struct {
	onPut func(revision int64) (answered int64, err error)
	onGet func(revision int64, kvs []*mvccpb.KeyValue) (int64, []*mvccpb.KeyValue)

	mu       sync.Mutex
	revision int64
	kvs      map[string]*mvccpb.KeyValue
}

func (f *fakeStore) Put(_ context.Context, key, value string, _ ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revision++
	f.kvs[key] = &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), ModRevision: f.revision, Version: 1}
	revision, err := f.onPut(f.revision)
	return &clientv3.PutResponse{Header: &pb.ResponseHeader{Revision: revision}}, err
}

func (f *fakeStore) Get(_ context.Context, key string, _ ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var kvs []*mvccpb.KeyValue
	if kv, ok := f.kvs[key]; ok {
		kvs = append(kvs, kv)
	}
	revision, kvs := f.onGet(f.revision, kvs)
	return &clientv3.GetResponse{Header: &pb.ResponseHeader{Revision: revision}, Kvs: kvs}, nil
}

// TestLoadNotices runs a load against stores that break one promise each.
func TestLoadNotices(t *testing.T) {
	type kvs = []*mvccpb.KeyValue
	honestPut := func(revision int64) (int64, error) { return revision, nil }
	honestGet := func(revision int64, found kvs) (int64, kvs) { return revision, found }
	tests := []struct {
		name  string
		onPut func(int64) (int64, error)
		onGet func(int64, kvs) (int64, kvs)
		want  string // part of the first complaint; "" for none
	}{
		{"honest", honestPut, honestGet, ""},
		{"fails now and then", func(r int64) (int64, error) {
			if r%50 == 0 {
				return 0, fmt.Errorf("timeout")
			}
			return r, nil
		}, honestGet, ""},
		{"writes go back", func(r int64) (int64, error) { return r - 40*(r%100/99), nil }, honestGet,
			"after revision"},
		{"reads go back", honestPut, func(r int64, k kvs) (int64, kvs) { return r - 40*(r%5/4), k }, // readers are few
			"after"},
		{"reads miss a key", honestPut, func(r int64, k kvs) (int64, kvs) { return r, nil }, "lacks"},
		{"reads find another value", honestPut, func(r int64, k kvs) (int64, kvs) {
			for i := range k {
				k[i] = &mvccpb.KeyValue{Key: k[i].Key, ModRevision: k[i].ModRevision}
			}
			return r, k
		}, "with value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := &fakeStore{onPut: tt.onPut, onGet: tt.onGet, revision: 1, kvs: map[string]*mvccpb.KeyValue{}}
			load := Start(Config{Targets: []Target{{Client: store}, {Client: store}}, Writers: 4, Readers: 4, Seed: 1})
			// On a busy machine there may be hardly a read beside the first 5,000 writes.
			for begin := time.Now(); ; {
				if err := load.AwaitAcks(5000, time.Minute); err != nil {
					t.Fatal(err)
				}
				if tt.want == "" || len(load.Ledger.Broken()) > 0 || time.Since(begin) > time.Minute {
					break
				}
			}
			load.Stop()
			broken := strings.Join(load.Ledger.Broken(), "\n")
			if (broken == "") != (tt.want == "") || !strings.Contains(broken, tt.want) {
				t.Errorf("complaints %q, want %q", broken, tt.want)
			}
		})
	}
}
