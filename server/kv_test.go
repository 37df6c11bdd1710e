package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

func checkHeader(t *testing.T, h *pb.ResponseHeader, revision int64) {
	t.Helper()
	want := &pb.ResponseHeader{ClusterId: testCluster, MemberId: testMember, RaftTerm: testTerm, Revision: revision}
	if diff := cmp.Diff(want, h, protocmp.Transform()); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

func put(t *testing.T, kv clientv3.KV, key, value string) int64 {
	t.Helper()
	r, err := kv.Put(t.Context(), key, value)
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return r.Header.Revision
}

func TestPutAndDelete(t *testing.T) {
	c := serve(t, newSoloNode(t), testConfig()).client(t)
	ctx := testContext(t)

	p, err := c.Put(ctx, "a", "1", clientv3.WithPrevKV())
	if err != nil || p.PrevKv != nil {
		t.Fatalf("first put: %v, %v", p, err)
	}
	checkHeader(t, p.Header, 2) // an empty store is at revision 1
	if p, err = c.Put(ctx, "a", "2", clientv3.WithPrevKV()); err != nil || string(p.PrevKv.GetValue()) != "1" {
		t.Fatalf("second put: %v, %v", p, err)
	}
	if p, err = c.Put(ctx, "a", "", clientv3.WithIgnoreValue()); err != nil {
		t.Fatalf("put with ignore_value: %v", err)
	}
	checkHeader(t, p.Header, 4) // a put counts even when it changes nothing
	if p, err = c.Put(ctx, "a", "3", clientv3.WithIgnoreLease()); err != nil {
		t.Fatalf("put with ignore_lease: %v", err)
	}
	checkHeader(t, p.Header, 5)

	d, err := c.Delete(ctx, "nothing")
	if err != nil || d.Deleted != 0 {
		t.Fatalf("delete of nothing: %v, %v", d, err)
	}
	checkHeader(t, d.Header, 5)
	d, err = c.Delete(ctx, "a", clientv3.WithPrefix(), clientv3.WithPrevKV())
	if err != nil || d.Deleted != 1 || len(d.PrevKvs) != 1 || string(d.PrevKvs[0].Value) != "3" {
		t.Fatalf("delete: %v, %v", d, err)
	}
	checkHeader(t, d.Header, 6)
}

func TestRangeOptions(t *testing.T) {
	c := serve(t, newSoloNode(t), testConfig()).client(t)
	ctx := testContext(t)
	for i, key := range []string{"c", "a", "b", "d", "a"} { // revisions 2 to 6
		put(t, c, key, fmt.Sprint(9-i))
	}
	all := []clientv3.OpOption{clientv3.WithRange("z")}
	for _, tc := range []struct {
		name  string
		opts  []clientv3.OpOption
		keys  string
		count int64
		more  bool
	}{
		{"one key", nil, "a", 1, false},
		{"range", all, "abcd", 4, false},
		{"half open", []clientv3.OpOption{clientv3.WithRange("c")}, "ab", 2, false},
		{"from key", []clientv3.OpOption{clientv3.WithFromKey()}, "abcd", 4, false},
		{"inverted", []clientv3.OpOption{clientv3.WithRange("A")}, "", 0, false},
		{"limit", append(all, clientv3.WithLimit(2)), "ab", 4, true},
		{"limit not reached", append(all, clientv3.WithLimit(4)), "abcd", 4, false},
		{"old revision", append(all, clientv3.WithRev(3)), "ac", 2, false},
		{"descending", append(all, clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)), "dcba", 4, false},
		{"by mod", append(all, clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortAscend)), "cbda", 4, false},
		{"by value, cut", append(all, clientv3.WithSort(clientv3.SortByValue, clientv3.SortDescend), clientv3.WithLimit(1)),
			"c", 4, true},
		{"cut before sorting", append(all, clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortNone),
			clientv3.WithLimit(1)), "b", 4, true},
		{"filtered", append(all, clientv3.WithMinModRev(4), clientv3.WithMaxModRev(5)), "bd", 4, false},
		{"filtered by creation", append(all, clientv3.WithMinCreateRev(4)), "bd", 4, false},
		{"count", append(all, clientv3.WithCountOnly()), "", 4, false},
		{"serializable", append(all, clientv3.WithSerializable()), "abcd", 4, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := c.Get(ctx, "a", tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			var keys strings.Builder
			for _, kv := range r.Kvs {
				keys.Write(kv.Key)
			}
			if keys.String() != tc.keys || r.Count != tc.count || r.More != tc.more {
				t.Errorf("got %q count %d more %t, want %q %d %t", keys.String(), r.Count, r.More, tc.keys, tc.count, tc.more)
			}
			checkHeader(t, r.Header, 6) // never the revision that was read
		})
	}
	r, err := c.Get(ctx, "a", clientv3.WithKeysOnly())
	if err != nil || len(r.Kvs) != 1 || len(r.Kvs[0].Value) != 0 || r.Kvs[0].ModRevision != 6 || r.Kvs[0].Version != 2 {
		t.Errorf("keys only: %v, %v", r, err)
	}
}

func TestTxn(t *testing.T) {
	n := newSoloNode(t)
	c := serve(t, n, testConfig()).client(t)
	ctx := testContext(t)
	create := func() *clientv3.TxnResponse {
		r, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision("k"), "=", 0)).
			Then(clientv3.OpPut("k", "v")).Else(clientv3.OpGet("k")).Commit()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := create()
	checkHeader(t, r.Header, 2)
	if !r.Succeeded || r.Responses[0].GetResponsePut() == nil {
		t.Errorf("create: %v", r)
	}
	r = create()
	checkHeader(t, r.Header, 2)
	if r.Succeeded || len(r.Responses[0].GetResponseRange().GetKvs()) != 1 {
		t.Errorf("create again: %v", r)
	}
	if h := r.Responses[0].GetResponseRange().Header; h.GetClusterId() != 0 || h.GetRevision() != 2 {
		t.Errorf("inner header %v, want the revision alone", h)
	}
	// A failed guard with a missing key still has a range response: Kubernetes indexes it without looking.
	r, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision("x"), "=", 5)).
		Then(clientv3.OpDelete("x")).Else(clientv3.OpGet("x")).Commit()
	if err != nil || r.Succeeded || r.Responses[0].GetResponseRange() == nil {
		t.Errorf("delete of a missing key: %v, %v", r, err)
	}
}

// Where a transaction is answered: in the log, from a linearizable view, or from the local one.
func TestTxnPath(t *testing.T) {
	get, stale := clientv3.OpGet("k"), clientv3.OpGet("k", clientv3.WithSerializable())
	guard := clientv3.Compare(clientv3.Version("k"), "=", 0)
	for _, tc := range []struct {
		name          string
		then          []clientv3.Op
		applied, read int64
	}{
		{"writes", []clientv3.Op{clientv3.OpPut("k", "")}, 1, 0},
		{"reads", []clientv3.Op{get, stale}, 0, 1},
		{"serializable reads", []clientv3.Op{stale}, 0, 0},
		{"compares only", nil, 0, 1},
		{"nested", []clientv3.Op{clientv3.OpTxn(nil, []clientv3.Op{get}, nil)}, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newSoloNode(t)
			c := serve(t, n, testConfig()).client(t)
			before := n.Status().Applied
			r, err := c.Txn(testContext(t)).If(guard).Then(tc.then...).Commit()
			if err != nil || !r.Succeeded {
				t.Fatalf("%v, %v", r, err)
			}
			if applied, read := int64(n.Status().Applied-before), n.reads.Load(); applied != tc.applied || read != tc.read {
				t.Errorf("%d entries and %d linearizable reads, want %d and %d", applied, read, tc.applied, tc.read)
			}
		})
	}
}

func TestSerializableNeedsNoLeader(t *testing.T) {
	n := newSoloNode(t)
	c := serve(t, n, testConfig()).client(t)
	put(t, c, "k", "v")
	n.readError = context.DeadlineExceeded
	if r, err := c.Get(testContext(t), "k", clientv3.WithSerializable()); err != nil || r.Count != 1 {
		t.Errorf("%v, %v", r, err)
	}
}

func TestCompact(t *testing.T) {
	for _, physical := range []bool{false, true} {
		t.Run(fmt.Sprint("physical=", physical), func(t *testing.T) {
			c := serve(t, newSoloNode(t), testConfig()).client(t)
			ctx := testContext(t)
			for range 4 {
				put(t, c, "k", "v")
			}
			var opts []clientv3.CompactOption
			if physical {
				opts = append(opts, clientv3.WithCompactPhysical())
			}
			r, err := c.Compact(ctx, 4, opts...)
			if err != nil {
				t.Fatal(err)
			}
			checkHeader(t, r.Header, 5)
			if _, err := c.Compact(ctx, 4); err != rpctypes.ErrCompacted {
				t.Errorf("again: %v", err)
			}
			if _, err := c.Compact(ctx, 6); err != rpctypes.ErrFutureRev {
				t.Errorf("in the future: %v", err)
			}
			if _, err := c.Get(ctx, "k", clientv3.WithRev(3)); err != rpctypes.ErrCompacted {
				t.Errorf("read below: %v", err)
			}
			if g, err := c.Get(ctx, "k", clientv3.WithRev(4)); err != nil || g.Count != 1 {
				t.Errorf("read at the compacted revision: %v, %v", g, err)
			}
		})
	}
}

// A negative revision is the newest in a Range, and compacted in a Txn once there was a compaction.
func TestNegativeRevision(t *testing.T) {
	c := serve(t, newSoloNode(t), testConfig()).client(t)
	ctx := testContext(t)
	put(t, c, "k", "v")
	put(t, c, "k", "w")
	if _, err := c.Compact(ctx, 3); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Get(ctx, "k", clientv3.WithRev(-1)); err != nil || string(r.Kvs[0].Value) != "w" {
		t.Errorf("range: %v, %v", r, err)
	}
	if _, err := c.Txn(ctx).Then(clientv3.OpGet("k", clientv3.WithRev(-1))).Commit(); err != rpctypes.ErrCompacted {
		t.Errorf("txn: %v", err)
	}
}

// The client sees the errors of the store under etcd's names.
func TestStoreErrors(t *testing.T) {
	c := serve(t, newSoloNode(t), testConfig()).client(t)
	ctx := testContext(t)
	future := clientv3.WithRev(99)
	failedPut := func(o clientv3.OpOption) func() error {
		return func() error { _, err := c.Put(ctx, "k", "", o); return err }
	}
	for name, tc := range map[string]struct {
		do   func() error
		want error
	}{
		"lease":        {failedPut(clientv3.WithLease(5)), rpctypes.ErrLeaseNotFound},
		"ignore value": {failedPut(clientv3.WithIgnoreValue()), rpctypes.ErrKeyNotFound},
		"ignore lease": {failedPut(clientv3.WithIgnoreLease()), rpctypes.ErrKeyNotFound},
		"future range": {func() error { _, err := c.Get(ctx, "k", future); return err }, rpctypes.ErrFutureRev},
		"future read-only txn": {func() error {
			_, err := c.Txn(ctx).Then(clientv3.OpGet("k", future)).Commit()
			return err
		}, rpctypes.ErrFutureRev},
		"future txn": {func() error {
			_, err := c.Txn(ctx).Then(clientv3.OpGet("k", future), clientv3.OpPut("k", "")).Commit()
			return err
		}, rpctypes.ErrFutureRev},
	} {
		if err := tc.do(); err != tc.want {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if r, err := c.Get(ctx, "k"); err != nil || r.Header.Revision != 1 {
		t.Errorf("revision after errors only: %v, %v", r, err)
	}
}

func TestRequestSize(t *testing.T) {
	n := newSoloNode(t)
	cfg := testConfig()
	cfg.Limits.RequestBytes, n.limit = 64<<10, 64<<10
	c := serve(t, n, cfg).client(t)
	ctx := testContext(t)
	value := func(size int) string { return string(bytes.Repeat([]byte("v"), size)) }
	put(t, c, "k", value(64<<10-64))
	if _, err := c.Put(ctx, "k", value(64<<10)); err != rpctypes.ErrRequestTooLarge {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := c.Txn(ctx).Then(clientv3.OpPut("k", value(64<<10))).Commit(); err != rpctypes.ErrRequestTooLarge {
		t.Errorf("txn over the limit: %v", err)
	}
	_, err := c.Put(ctx, "k", value(64<<10+messageOverheadBytes))
	if err == nil || !strings.Contains(err.Error(), "received message larger than max") {
		t.Errorf("over what gRPC receives: %v", err)
	}
	// Answers may be as large as they are.
	for i := range 32 {
		put(t, c, fmt.Sprint("big", i), value(60<<10))
	}
	if r, err := c.Get(ctx, "big", clientv3.WithPrefix()); err != nil || len(r.Kvs) != 32 {
		t.Errorf("large answer: %v", err)
	}
}

func TestBeforeTheMemberHasCaughtUp(t *testing.T) {
	n := newSoloNode(t)
	n.view.Store(nil)
	kv := pb.NewKVClient(serve(t, n, testConfig()).dial(t))
	_, err := kv.Range(testContext(t), &pb.RangeRequest{Key: []byte("k"), Serializable: true})
	checkStatus(t, err, rpctypes.ErrGRPCTimeoutWaitAppliedIndex)
}

// A view whose rows have been compacted away under it is exchanged for a newer one, and the client hears nothing of it.
func TestViewOvertakenByCompaction(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	c := e.client(t)
	ctx := testContext(t)
	put(t, c, "k", "old")
	n.flush(t)
	stale := n.View()
	put(t, c, "k", "new")
	if _, err := c.Compact(ctx, 3, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if _, err := apply.Range(stale.KV, &pb.RangeRequest{Key: []byte("k")}); !errors.Is(err, mvcc.ErrStaleView) {
		t.Fatalf("the view is not stale: %v", err)
	}
	n.oldView = stale
	if r, err := c.Get(ctx, "k"); err != nil || string(r.Kvs[0].Value) != "new" {
		t.Errorf("range: %v, %v", r, err)
	}
	if _, err := c.Get(ctx, "k", clientv3.WithRev(2)); err != rpctypes.ErrCompacted {
		t.Errorf("range at a revision: %v", err)
	}
	guard := clientv3.Compare(clientv3.Value("k"), "=", "new")
	if r, err := c.Txn(ctx).If(guard).Then(clientv3.OpGet("k")).Commit(); err != nil || !r.Succeeded {
		t.Errorf("txn: %v, %v", r, err)
	}
	s, err := pb.NewKVClient(e.dial(t)).RangeStream(ctx, &pb.RangeRequest{Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	if pieces, err := receive(s); err != nil || string(merge(pieces).Kvs[0].Value) != "new" {
		t.Errorf("stream: %v, %v", pieces, err)
	}
	n.oldViewOnce.Store(stale)
	if h, err := c.HashKV(ctx, c.Endpoints()[0], 0); err != nil || h.HashRevision != 3 {
		t.Errorf("hash: %v, %v", h, err)
	}
}
