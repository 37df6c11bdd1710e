package apply

import (
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
)

// BenchmarkExpiry is what the end of one lease with one key costs a replica, a thousand to an entry, the flushes included.
func BenchmarkExpiry(b *testing.B) {
	const batch = 1000
	r := newRig(b, RequestID{Member: 1, Epoch: 1})
	var grants, revokes []*raftpb.Entry
	for i := 0; i < b.N; i += batch {
		var g, v []Command
		for id := int64(i + 1); id <= int64(i+batch); id++ {
			g = append(g, Command{ID: RequestID{1, 1, uint64(3 * id)}, Request: mustMarshal(grantOf(id<<20, 10))},
				Command{ID: RequestID{1, 1, uint64(3*id + 1)}, Request: mustMarshal(putWithLease(fmt.Sprint("key ", id), id<<20))})
			v = append(v, Command{ID: RequestID{2, 1, uint64(id)}, Term: 1, Request: mustMarshal(revokeOf(id << 20))})
		}
		grants = append(grants, entry(0, 1, EncodeBatch(g)))
		revokes = append(revokes, entry(0, 1, EncodeBatch(v)))
	}
	run := func(entries []*raftpb.Entry) {
		for _, e := range entries {
			index, term := r.m.Applied()
			e.Index, e.Term = new(index+1), new(term)
			if _, err := r.m.Apply([]*raftpb.Entry{e}, r.self); err != nil {
				b.Fatal(err)
			}
			if r.m.Backlog().Ops >= 10_000 {
				r.flush()
			}
		}
	}
	run(grants)
	b.ReportAllocs()
	b.ResetTimer()
	run(revokes)
}
