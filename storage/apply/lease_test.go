package apply

import (
	"errors"
	"slices"
	"testing"

	"go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/lease"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

func putWithLease(key string, id int64) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Lease: id}}
}

// Every replica hears of every lease, in order, whoever asked.
func TestOutcomeNamesLeases(t *testing.T) {
	r := newRig(t, RequestID{Member: 2})
	cmds := []Command{
		{ID: RequestID{1, 1, 1}, Request: mustMarshal(grantOf(5, 10))},
		{ID: RequestID{1, 1, 2}, Request: mustMarshal(grantOf(5, 20))},
		{ID: RequestID{1, 1, 3}, Request: mustMarshal(grantOf(4, 30))},
	}
	out, err := r.m.Apply([]*raftpb.Entry{
		entry(2, 1, EncodeBatch(cmds)),
		entry(3, 1, EncodeBatch([]Command{{ID: RequestID{1, 1, 4}, Request: mustMarshal(revokeOf(5))}})),
	}, r.self)
	if err != nil || len(out.Results) != 0 {
		t.Fatalf("%d results, %v", len(out.Results), err)
	}
	want := []LeaseChange{
		{Index: 2, Lease: lease.Lease{ID: 5, TTL: 10}},
		{Index: 2, Lease: lease.Lease{ID: 4, TTL: 30}},
		{Index: 3, Lease: lease.Lease{ID: 5}, Revoked: true},
	}
	if !slices.Equal(out.Leases, want) {
		t.Errorf("got %v, want %v", out.Leases, want)
	}
	if out, _ := r.m.Apply([]*raftpb.Entry{entry(4, 1, nil)}, r.self); len(out.Leases) != 0 {
		t.Errorf("then %v", out.Leases)
	}
	if got := r.m.Leases(); !slices.Equal(got, []lease.Lease{{ID: 4, TTL: 30}}) {
		t.Errorf("leases %v", got)
	}
}

// A command for one term does nothing in an entry of another, on any replica, and is answered so.
func TestTermOfACommand(t *testing.T) {
	r := newRig(t, RequestID{Member: 1, Epoch: 1})
	r.commit(grantOf(5, 10), putWithLease("k", 5))
	revoke := func(counter, term uint64) []byte {
		return EncodeBatch([]Command{{ID: RequestID{1, 1, counter}, Term: term, Request: mustMarshal(revokeOf(5))}})
	}
	for _, c := range []struct {
		index, term, commandTerm uint64
		want                     error
	}{
		{3, 7, 6, ErrStaleTerm},
		{4, 7, 8, ErrStaleTerm},
		{5, 7, 7, nil},
	} {
		out, err := r.m.Apply([]*raftpb.Entry{entry(c.index, c.term, revoke(c.index, c.commandTerm))}, r.self)
		if err != nil || len(out.Results) != 1 || out.Results[0].Err != c.want {
			t.Errorf("entry of term %d, command of term %d: %v, %v", c.term, c.commandTerm, out.Results, err)
		}
		if gone := len(r.m.Leases()) == 0; gone != (c.want == nil) {
			t.Errorf("entry of term %d, command of term %d: leases %v", c.term, c.commandTerm, r.m.Leases())
		}
	}
}

// Damage to the record of a lease, or its loss, is found at the next start.
func TestDamagedLeaseRecord(t *testing.T) {
	damages := map[string]func(b *backend.Batch, key, value []byte){
		"a flipped bit": func(b *backend.Batch, k, v []byte) { v[1] ^= 1; b.Put(backend.Lease, k, v) },
		"a torn end":    func(b *backend.Batch, k, v []byte) { b.Put(backend.Lease, k, v[:len(v)-1]) },
		"nothing left":  func(b *backend.Batch, k, _ []byte) { b.Put(backend.Lease, k, nil) },
		"a lost record": func(b *backend.Batch, k, _ []byte) { b.Delete(backend.Lease, k) },
		"another's key": func(b *backend.Batch, k, v []byte) {
			b.Delete(backend.Lease, slices.Clone(k))
			k[7]++
			b.Put(backend.Lease, k, v)
		},
		"a second record": func(b *backend.Batch, k, v []byte) { k[0] = 9; b.Put(backend.Lease, k, v) },
	}
	for name, damage := range damages {
		for _, holds := range []bool{false, true} {
			r := newRig(t, RequestID{Member: 1, Epoch: 1})
			r.commit(grantOf(5, 10))
			if holds {
				r.commit(putWithLease("k", 5))
			}
			r.flush()
			var b backend.Batch
			err := r.db.Read(func(tx *bbolt.Tx) error {
				return tx.Bucket(backend.Lease).ForEach(func(k, v []byte) error {
					damage(&b, slices.Clone(k), slices.Clone(v))
					return nil
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.db.Commit(&b); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(r.db, testCluster, mvcc.Recent{}); !errors.Is(err, backend.ErrDamaged) {
				t.Errorf("%s, lease holds keys %t: %v", name, holds, err)
			}
		}
	}
}
