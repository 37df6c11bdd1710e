package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestKVClient uses the API as programs do, through clientv3's own words, on every node. The scripts of TestKVScripts
// have the details; here it is the helpers, the typed errors and the stream.
func TestKVClient(t *testing.T) {
	c := cluster.Start(t, cluster.Config{})
	for i, n := range c.Nodes {
		t.Run(n.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			kv := c.Client(i)
			if _, err := kv.Delete(ctx, "", clientv3.WithPrefix()); err != nil { // "" with prefix is everything
				t.Fatal(err)
			}
			t.Run("range", func(t *testing.T) { testClientRange(ctx, t, kv) })
			t.Run("txn", func(t *testing.T) { testClientTxn(ctx, t, kv) })
			t.Run("errors", func(t *testing.T) { testClientErrors(ctx, t, kv) })
			t.Run("stream", func(t *testing.T) { testClientStream(ctx, t, kv) })
			t.Run("deadline", func(t *testing.T) { testClientDeadline(ctx, t, kv) })
		})
	}
}

func testClientRange(ctx context.Context, t *testing.T, kv *clientv3.Client) {
	first := mustPut(ctx, t, kv, "r/a", "3")
	mustPut(ctx, t, kv, "r/b", "1")
	third := mustPut(ctx, t, kv, "r/c", "2")
	mustPut(ctx, t, kv, "r/b", "4")
	ops := func(o ...clientv3.OpOption) []clientv3.OpOption { return append(o, clientv3.WithPrefix()) }
	tests := []struct {
		name string
		key  string
		opts []clientv3.OpOption
		want string // key=value ...
	}{
		{"one key", "r/a", nil, "r/a=3"},
		{"missing", "r/x", nil, ""},
		{"prefix", "r/", ops(), "r/a=3 r/b=4 r/c=2"},
		{"from key", "r/b", []clientv3.OpOption{clientv3.WithFromKey()}, "r/b=4 r/c=2"},
		{"range", "r/a", []clientv3.OpOption{clientv3.WithRange("r/c")}, "r/a=3 r/b=4"},
		{"limit", "r/", ops(clientv3.WithLimit(1)), "r/a=3"},
		{"past", "r/", ops(clientv3.WithRev(third)), "r/a=3 r/b=1 r/c=2"},
		{"keys only", "r/", ops(clientv3.WithKeysOnly()), "r/a= r/b= r/c="},
		{"serializable", "r/", ops(clientv3.WithSerializable()), "r/a=3 r/b=4 r/c=2"},
		{"sorted by value, down", "r/", ops(clientv3.WithSort(clientv3.SortByValue, clientv3.SortDescend)),
			"r/b=4 r/a=3 r/c=2"},
		{"sorted by key, down", "r/", ops(clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)),
			"r/c=2 r/b=4 r/a=3"},
		{"first key", "r/", clientv3.WithFirstKey(), "r/a=3"},
		{"last key", "r/", clientv3.WithLastKey(), "r/c=2"},
		{"first created", "r/", clientv3.WithFirstCreate(), "r/a=3"},
		{"last created", "r/", clientv3.WithLastCreate(), "r/c=2"},
		{"first revision", "r/", clientv3.WithFirstRev(), "r/a=3"},
		{"last revision", "r/", clientv3.WithLastRev(), "r/b=4"},
		{"created up to", "r/", ops(clientv3.WithMaxCreateRev(first)), "r/a=3"},
		{"modified since", "r/", ops(clientv3.WithMinModRev(third)), "r/b=4 r/c=2"},
		{"modified up to", "r/", ops(clientv3.WithMaxModRev(third)), "r/a=3 r/c=2"},
		{"created since", "r/", ops(clientv3.WithMinCreateRev(third)), "r/c=2"},
	}
	for _, tt := range tests {
		got, err := kv.Get(ctx, tt.key, tt.opts...)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if pairs(got.Kvs) != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, pairs(got.Kvs), tt.want)
		}
	}
	count, err := kv.Get(ctx, "r/", ops(clientv3.WithCountOnly())...)
	if err != nil || count.Count != 3 || len(count.Kvs) != 0 {
		t.Errorf("count only: %v, %v", count, err)
	}
	deleted, err := kv.Delete(ctx, "r/a", clientv3.WithRange("r/c"), clientv3.WithPrevKV())
	if err != nil || deleted.Deleted != 2 || pairs(deleted.PrevKvs) != "r/a=3 r/b=4" {
		t.Errorf("delete: %v, %v", deleted, err)
	}
}

func testClientTxn(ctx context.Context, t *testing.T, kv *clientv3.Client) {
	lock := func(owner string) bool {
		response, err := kv.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision("t/lock"), "=", 0)).
			Then(clientv3.OpPut("t/lock", owner), clientv3.OpGet("t/lock")).
			Else(clientv3.OpGet("t/lock")).
			Commit()
		if err != nil {
			t.Fatal(err)
		}
		last := response.Responses[len(response.Responses)-1].GetResponseRange()
		if pairs(last.Kvs) != "t/lock=one" || (response.Header.Revision < last.Kvs[0].ModRevision) {
			t.Errorf("transaction of %s reads %v at revision %d", owner, last.Kvs, response.Header.Revision)
		}
		return response.Succeeded
	}
	if !lock("one") || lock("two") {
		t.Error("the first transaction must win, the second must lose")
	}
	nested := clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.Value("t/"), ">", "0").WithPrefix()},
		[]clientv3.Op{clientv3.OpDelete("t/lock", clientv3.WithPrevKV())}, nil)
	done, err := kv.Do(ctx, clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut("t/other", "x"), nested}, nil))
	if err != nil {
		t.Fatal(err)
	}
	inner := done.Txn().Responses[1].GetResponseTxn()
	if !inner.Succeeded || pairs(inner.Responses[0].GetResponseDeleteRange().PrevKvs) != "t/lock=one" {
		t.Errorf("nested transaction: %v", inner)
	}
}

// testClientErrors checks that clientv3 recognises our errors: it maps them by their text.
func testClientErrors(ctx context.Context, t *testing.T, kv *clientv3.Client) {
	mustPut(ctx, t, kv, "e/a", "1")
	now := mustPut(ctx, t, kv, "e/a", "2")
	if _, err := kv.Compact(ctx, now, clientv3.WithCompactPhysical()); err != nil {
		t.Fatalf("compact: %v", err)
	}
	get := func(key string, opts ...clientv3.OpOption) error { _, err := kv.Get(ctx, key, opts...); return err }
	put := func(key, value string, opts ...clientv3.OpOption) error {
		_, err := kv.Put(ctx, key, value, opts...)
		return err
	}
	txn := func(ops ...clientv3.Op) error { _, err := kv.Txn(ctx).Then(ops...).Commit(); return err }
	compact := func(revision int64) error { _, err := kv.Compact(ctx, revision); return err }
	var many []clientv3.Op
	for i := range 129 {
		many = append(many, clientv3.OpPut(fmt.Sprint("e/", i), ""))
	}
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"get without a key", get(""), rpctypes.ErrEmptyKey},
		{"put without a key", put("", "x"), rpctypes.ErrEmptyKey},
		{"compacted get", get("e/a", clientv3.WithRev(now-1)), rpctypes.ErrCompacted},
		{"future get", get("e/a", clientv3.WithRev(now+1000)), rpctypes.ErrFutureRev},
		{"compacted compact", compact(now), rpctypes.ErrCompacted},
		{"future compact", compact(now + 1000), rpctypes.ErrFutureRev},
		{"unknown lease", put("e/a", "x", clientv3.WithLease(12345)), rpctypes.ErrLeaseNotFound},
		{"value and ignore value", put("e/a", "x", clientv3.WithIgnoreValue()), rpctypes.ErrValueProvided},
		{"lease and ignore lease", put("e/a", "x", clientv3.WithLease(1), clientv3.WithIgnoreLease()),
			rpctypes.ErrLeaseProvided},
		{"ignore value of nothing", put("e/none", "", clientv3.WithIgnoreValue()), rpctypes.ErrKeyNotFound},
		{"duplicate key", txn(clientv3.OpPut("e/a", "x"), clientv3.OpPut("e/a", "y")), rpctypes.ErrDuplicateKey},
		{"129 operations", txn(many...), rpctypes.ErrTooManyOps},
		{"too large", put("e/a", strings.Repeat("x", 1536*1024)), rpctypes.ErrRequestTooLarge},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.err, tt.want)
		}
	}
	if got, err := kv.Get(ctx, "e/a"); err != nil || pairs(got.Kvs) != "e/a=2" {
		t.Errorf("after all these errors: %v, %v", got, err)
	}
}

func testClientStream(ctx context.Context, t *testing.T, kv *clientv3.Client) {
	for i := range 300 {
		mustPut(ctx, t, kv, fmt.Sprintf("s/%03d", i), strings.Repeat("v", 10_000))
	}
	want, err := kv.Get(ctx, "s/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := kv.GetStream(ctx, "s/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	got, err := clientv3.GetStreamToGetResponse(chunks)
	if err != nil {
		t.Fatal(err)
	}
	if got.Count != want.Count || got.More || pairs(got.Kvs) != pairs(want.Kvs) ||
		got.Header.Revision != want.Header.Revision {
		t.Errorf("the stream has %d of %d keys (more: %v) at revision %d, Range %d at %d", len(got.Kvs), got.Count,
			got.More, got.Header.GetRevision(), want.Count, want.Header.Revision)
	}
}

// testClientDeadline: a deadline that has passed is the client's, in both codes that clients know.
func testClientDeadline(ctx context.Context, t *testing.T, kv *clientv3.Client) {
	short, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	defer cancel()
	if _, err := kv.Get(short, "d"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("get after its deadline: %v", err)
	}
	if _, err := kv.Get(ctx, "d"); err != nil {
		t.Errorf("the next get: %v", err)
	}
}

func mustPut(ctx context.Context, t *testing.T, kv *clientv3.Client, key, value string) (revision int64) {
	t.Helper()
	response, err := kv.Put(ctx, key, value)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return response.Header.Revision
}

func pairs(kvs []*mvccpb.KeyValue) string {
	var all []string
	for _, kv := range kvs {
		all = append(all, string(kv.Key)+"="+string(kv.Value))
	}
	return strings.Join(all, " ")
}
