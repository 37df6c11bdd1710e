package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestDiverged gives a member a state that differs from the others' with every checksum right, as a mistake in the software
// or a bit in its memory may. It serves the wrong value until the members compare their histories; then it rebuilds itself,
// while the others go on, and all agree.
func TestDiverged(t *testing.T) {
	onlyQuorumKV(t)
	rng, seed := newRand(t)
	c := cluster.Start(t, cluster.Config{Flags: []string{"--corrupt-check-time", "2s"}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const right, wrong = "the value of the others", "the value of one member"
	victim := c.Followers()[rng.IntN(2)]
	node := c.Nodes[victim]
	for _, kv := range [][2]string{{"diverged", right}, {"later", "so that what is before it is committed"}} {
		if _, err := c.Client().Put(ctx, kv[0], kv[1]); err != nil {
			t.Fatal(err)
		}
		awaitInState(t, node, kv[1])
	}
	node.Kill()
	diverge(t, node, right, wrong)
	node.Restart()
	const found = "history differs from the majority's"
	if got, err := serializable(ctx, c, victim); got != wrong { // it may have been soon to find out
		if _, soon := node.AwaitLog(found, 0); !soon {
			t.Fatalf("%s holds %q, %v", node.Name, got, err)
		}
	}

	load := startLoad(t, c, 4, 1, seed)
	line, ok := node.AwaitLog(found, 30*time.Second)
	if !ok {
		t.Fatalf("%s has diverged, and does not say so", node.Name)
	}
	for _, part := range []string{`"check-index":`, `"own-hash":"`, `"verdict":"`, `"reported-by":[`} {
		if !strings.Contains(line, part) {
			t.Errorf("%s is not in %s", part, line)
		}
	}
	if _, ok := node.AwaitLog("state rebuilt from a snapshot", 30*time.Second); !ok {
		t.Fatalf("%s does not rebuild its state", node.Name)
	}
	awaitAcks(t, load, 100)
	settle(t, c, load)
	if got, err := serializable(ctx, c, victim); got != right {
		t.Errorf("%s holds %q, %v", node.Name, got, err)
	}
	if n, ok := node.Metric("quorumkv_history_diverged_total"); !ok || n != 1 {
		t.Errorf("%s has diverged %v times", node.Name, n)
	}
	for i, n := range c.Nodes {
		status, err := c.Status(i)
		if err != nil || len(status.Errors) > 0 {
			t.Errorf("%s: %v, %v", n.Name, status, err)
		}
	}
}

func serializable(ctx context.Context, c *cluster.Cluster, node int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := c.Client(node).Get(ctx, "diverged", clientv3.WithSerializable())
	if err != nil || len(r.Kvs) != 1 {
		return "", err
	}
	return string(r.Kvs[0].Value), nil
}

// diverge changes a value in the state file of a node that does not run, and the history hash, and makes the checksums
// right. Both values have the same length.
func diverge(t *testing.T, n *cluster.Node, from, to string) {
	t.Helper()
	table := crc32.MakeTable(crc32.Castagnoli)
	db, err := bbolt.Open(filepath.Join(n.Dir, stateFile(t, n)), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	changed := 0
	err = db.Update(func(tx *bbolt.Tx) error {
		rows, meta := tx.Bucket([]byte("key")), tx.Bucket([]byte("meta"))
		cursor := rows.Cursor()
		for k, v := cursor.First(); k != nil; k, v = cursor.Next() {
			if !bytes.Contains(v, []byte(from)) {
				continue
			}
			// etcd's row, a tag, and the checksum of the row's key and content
			row := bytes.Replace(v[:len(v)-4], []byte(from), []byte(to), 1)
			sum := crc32.Update(crc32.Checksum(k, table), table, row[:len(row)-1])
			if err := rows.Put(bytes.Clone(k), binary.LittleEndian.AppendUint32(row, sum)); err != nil {
				return err
			}
			changed++
		}
		state := bytes.Clone(meta.Get([]byte("quorumState"))) // see the package comment of storage/apply
		state[25] ^= 1
		end := len(state) - 4
		binary.LittleEndian.PutUint32(state[end:], crc32.Checksum(state[:end], table))
		return meta.Put([]byte("quorumState"), state)
	})
	if err != nil || changed != 1 {
		t.Fatalf("changed %d rows: %v", changed, err)
	}
}
