package workload

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Judge compares a complete dump of the writers' keys with what was promised. The result is empty when all is well.
// No load may run.
func (l *Ledger) Judge(dump []*mvccpb.KeyValue) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wrong []string
	say := func(format string, args ...any) {
		if len(wrong) < maxBroken {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	present := make([][]bool, len(l.writers))
	for w := range l.writers {
		present[w] = make([]bool, len(l.writers[w]))
	}
	for _, kv := range dump {
		key := string(kv.Key)
		w, n, ok := parseKey(key)
		if !ok || w >= len(l.writers) || n >= len(l.writers[w]) {
			say("key %q was never written", key)
			continue
		}
		if present[w][n] {
			say("key %s is listed twice", key)
		}
		present[w][n] = true
		if string(kv.Value) != Value(key) {
			say("key %s has value %q, only %q was written", key, kv.Value, Value(key))
		}
		if kv.Version != 1 {
			say("key %s was put once and has version %d: a request was applied twice", key, kv.Version)
		}
		if promised := l.writers[w][n]; promised != 0 && kv.ModRevision != promised {
			say("key %s has revision %d, acknowledged at %d", key, kv.ModRevision, promised)
		}
	}
	lost := 0
	for w := range l.writers {
		for n, promised := range l.writers[w] {
			if promised != 0 && !present[w][n] {
				lost++
				say("key %s is lost, acknowledged at revision %d", Key(w, n), promised)
			}
		}
	}
	if lost > 0 {
		wrong = append(wrong, fmt.Sprintf("%d of %d acknowledged writes are lost", lost, l.acked.Load()))
	}
	return wrong
}

func parseKey(key string) (writer, n int, ok bool) {
	w, rest, found := strings.Cut(strings.TrimPrefix(key, "w"), "/")
	writer, err1 := strconv.Atoi(w)
	n, err2 := strconv.Atoi(rest)
	ok = found && err1 == nil && err2 == nil && writer >= 0 && n >= 0 && Key(writer, n) == key
	return writer, n, ok
}

// dumpPage bounds one answer.
const dumpPage = 10_000

// Dump reads all writers' keys at one revision from one node. Serializable, so that it is that node's own copy.
func Dump(ctx context.Context, client KV, revision int64) ([]*mvccpb.KeyValue, error) {
	var all []*mvccpb.KeyValue
	from := "w"
	for {
		page, err := client.Get(ctx, from, clientv3.WithRange("x"), clientv3.WithRev(revision),
			clientv3.WithLimit(dumpPage), clientv3.WithSerializable())
		if err != nil {
			return nil, fmt.Errorf("dump from %q at revision %d: %w", from, revision, err)
		}
		all = append(all, page.Kvs...)
		if !page.More {
			return all, nil
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}
