package apply

import (
	"math/rand/v2"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Any request that reaches the log must have one outcome on every replica, however little sense it makes.
func FuzzApply(f *testing.F) {
	g := &generator{Rand: rand.New(rand.NewPCG(1, 1)), revision: 5}
	for range 30 {
		f.Add(mustMarshal(g.request()), mustMarshal(g.request()))
	}
	f.Add([]byte("\xff"), []byte(nil))
	f.Add(CheckRequest(), ReportRequest(3, 7))
	a, b := newRig(f, RequestID{Member: 1, Epoch: 1}), newRig(f, RequestID{Member: 2})
	next := uint64(0)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		batch := []Command{{Request: mustMarshal(putOf("k1", "v"))}, {Request: first}, {Request: second}, {Request: first}}
		for i := range batch {
			next++
			batch[i].ID = RequestID{Member: 1, Epoch: 1, Counter: next}
		}
		index, term := a.m.Applied()
		entries := []*raftpb.Entry{entry(index+1, term, EncodeBatch(batch))}
		out, err := a.m.Apply(entries, a.self)
		if err != nil || len(out.Results) != len(batch) {
			t.Fatalf("%d results, %v", len(out.Results), err)
		}
		if _, err := b.m.Apply(entries, b.self); err != nil {
			t.Fatal(err)
		}
		if a.m.HistoryHash() != b.m.HistoryHash() || a.m.Revision() != b.m.Revision() {
			t.Fatalf("histories %x and %x, revisions %d and %d",
				a.m.HistoryHash(), b.m.HistoryHash(), a.m.Revision(), b.m.Revision())
		}
		if b.m.Backlog().Ops >= 10_000 {
			if err := b.m.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		readAll(a.m.View(), first)
	})
}

// readAll answers a request from a view, if it is one that reads. Only panics count.
func readAll(v *View, request []byte) {
	var r pb.InternalRaftRequest
	if proto.Unmarshal(request, &r) != nil {
		return
	}
	Range(v.KV, r.GetRange())
	Txn(v.KV, r.GetTxn())
	TxnIsSerializable(r.GetTxn())
}

// FuzzEntry feeds the machine entries that are no envelopes.
func FuzzEntry(f *testing.F) {
	f.Add(EncodeBatch([]Command{{ID: RequestID{1, 1, 1}, Request: mustMarshal(putOf("k", "v"))}}))
	f.Add([]byte{envelopeVersion})
	r := newRig(f, RequestID{Member: 1, Epoch: 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		index, term := r.m.Applied()
		if _, err := r.m.Apply([]*raftpb.Entry{entry(index+1, term, data)}, r.self); err != nil {
			r.t = t
			r.load() // an error stops the machine for good
		}
	})
}

func FuzzDecodeMembers(f *testing.F) {
	f.Add(EncodeMembers(testMembers))
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := DecodeMembers(data)
		if err != nil {
			return
		}
		if again, err := DecodeMembers(EncodeMembers(members)); err != nil || len(again) != len(members) {
			t.Fatalf("%v became %v, %v", members, again, err)
		}
	})
}

// BenchmarkApply is what one command costs a replica that nobody waits on, and one whose clients do.
func BenchmarkApply(b *testing.B) {
	for name, self := range map[string]RequestID{"silent": {Member: 2}, "answering": {Member: 1}} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, self)
			value := make([]byte, 256)
			const size = 100
			cmds := make([]Command, size)
			counter, key := uint64(0), make([]byte, 8)
			rng := rand.New(rand.NewPCG(1, 1))
			b.ReportAllocs()
			for n := 0; n < b.N; n += size {
				b.StopTimer()
				for i := range cmds {
					counter++
					for j := range key {
						key[j] = byte('a' + rng.IntN(26))
					}
					req := &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: key, Value: value}}
					cmds[i] = Command{ID: RequestID{Member: 1, Counter: counter}, Request: mustMarshal(req)}
				}
				index, term := r.m.Applied()
				entries := []*raftpb.Entry{entry(index+1, term, EncodeBatch(cmds))}
				b.StartTimer()
				if _, err := r.m.Apply(entries, r.self); err != nil {
					b.Fatal(err)
				}
				if r.m.Backlog().Ops >= 10_000 {
					b.StopTimer()
					r.flush()
					b.StartTimer()
				}
			}
		})
	}
}
