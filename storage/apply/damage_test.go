package apply

import (
	"bytes"
	"errors"
	"testing"

	"go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// Damage that a command runs into is no outcome: this replica alone has it. The machine stops, whatever the command was
// about to do with what it read, and nothing of it becomes visible or durable.
func TestDamageStopsTheMachine(t *testing.T) {
	key := []byte("bad")
	inTxn := func(op *pb.RequestOp, compares ...*pb.Compare) *pb.InternalRaftRequest {
		put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("other")}}}
		return &pb.InternalRaftRequest{Txn: &pb.TxnRequest{Compare: compares, Success: []*pb.RequestOp{put, op}}}
	}
	inherit := &pb.PutRequest{Key: key, IgnoreValue: true}
	show := &pb.DeleteRangeRequest{Key: key, PrevKv: true}
	requests := map[string]*pb.InternalRaftRequest{
		"put":    {Put: inherit},
		"delete": {DeleteRange: show},
		"put in a transaction": inTxn(&pb.RequestOp{
			Request: &pb.RequestOp_RequestPut{RequestPut: inherit},
		}),
		"delete in a transaction": inTxn(&pb.RequestOp{
			Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: show},
		}),
		"range in a transaction": inTxn(&pb.RequestOp{
			Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}},
		}),
		"compare": inTxn(&pb.RequestOp{}, &pb.Compare{Key: key, Target: pb.Compare_VALUE}),
	}
	for name, req := range requests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, RequestID{Member: 1, Epoch: 1})
			r.commit(putOf("bad", "a value to be hit"))
			r.flush()
			flipValue(t, r.db, []byte("a value"))
			before := r.m.View()
			batch := EncodeBatch([]Command{{ID: RequestID{1, 1, 99}, Request: mustMarshal(req)}})
			_, err := r.m.Apply([]*raftpb.Entry{entry(3, 1, batch)}, r.self)
			if !errors.Is(err, backend.ErrDamaged) {
				t.Fatalf("apply: %v", err)
			}
			if err := r.m.Flush(); !errors.Is(err, backend.ErrDamaged) {
				t.Errorf("flush: %v", err)
			}
			if index, _ := r.m.Applied(); index != 2 || r.m.View() != before || !r.m.CompactStep() {
				t.Errorf("applied %d, view at %d", index, r.m.View().Index)
			}
		})
	}
}

// A replica that has no reason to read a row does not trip over it, and agrees with one whose row is sound.
func TestSilentReplicasReadNoMoreThanTheyMust(t *testing.T) {
	sound, hit := newRig(t, RequestID{Member: 1, Epoch: 1}), newRig(t, RequestID{})
	for _, r := range []*rig{sound, hit} {
		r.replay([]*raftpb.Entry{entry(2, 1, EncodeBatch([]Command{
			{ID: RequestID{1, 1, 1}, Request: mustMarshal(putOf("bad", "a value to be hit"))},
		}))})
		r.flush()
	}
	flipValue(t, hit.db, []byte("a value"))
	read := &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: []byte("bad")}}}
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("bad"), PrevKv: true}}}
	next := []*raftpb.Entry{entry(3, 1, EncodeBatch([]Command{
		{ID: RequestID{1, 1, 2}, Request: mustMarshal(&pb.InternalRaftRequest{Txn: &pb.TxnRequest{
			Success: []*pb.RequestOp{read, put},
		}})},
	}))}
	if results := sound.replay(next); len(results) != 1 || results[0].Err != nil {
		t.Fatalf("results %v", results)
	}
	hit.replay(next)
	if sound.m.HistoryHash() != hit.m.HistoryHash() {
		t.Error("histories differ")
	}
}

// flipValue flips a bit in the row whose value holds text.
func flipValue(t *testing.T, db *backend.DB, text []byte) {
	t.Helper()
	var b backend.Batch
	err := db.Read(func(tx *bbolt.Tx) error {
		return tx.Bucket(backend.Key).ForEach(func(k, v []byte) error {
			if at := bytes.Index(v, text); at >= 0 {
				bad := bytes.Clone(v)
				bad[at] ^= 1
				b.Put(backend.Key, bytes.Clone(k), bad)
			}
			return nil
		})
	})
	if err == nil && b.Len() == 0 {
		t.Fatalf("no row holds %q", text)
	}
	if err == nil {
		err = db.Commit(&b)
	}
	if err != nil {
		t.Fatal(err)
	}
}
