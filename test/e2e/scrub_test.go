package e2e

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// scrubTimeout is long for a pass a second over a few megabytes, and for a machine that has much else to do.
const scrubTimeout = time.Minute

// scrubbing makes nodes that read all of their files about once a second.
var scrubbing = cluster.Config{Flags: []string{"--scrub-interval=1s", "--scrub-rate-bytes=1073741824"}}

// TestScrub damages files of nodes that run, and under load: nobody reads what is damaged but the scrubber. Each finds it,
// says so and mends it, and goes on without a restart.
func TestScrub(t *testing.T) {
	onlyQuorumKV(t)
	rng, seed := newRand(t)
	c := cluster.Start(t, scrubbing)
	load := startLoad(t, c, 12, 2, seed)
	awaitAcks(t, load, 1000)
	for _, n := range c.Nodes {
		n.Kill() // so that there is a segment which nobody writes to any more
		n.Restart()
	}
	awaitAcks(t, load, 1000)
	flipByte := func(t *testing.T, path string, from, size int64) {
		flip(t, path, from+rng.Int64N(size), byte(1)<<rng.IntN(8))
	}
	for i, d := range []struct {
		name, says string
		damage     func(t *testing.T, n *cluster.Node) (mended func() bool)
	}{
		{"the middle of the log", "scrub found damage in the log: written anew from memory", func(t *testing.T, n *cluster.Node) func() bool {
			path, frame := middleFrame(t, readWAL(t, n), rng)
			flipByte(t, path, frame.offset+walFrameHeader, frame.size-walFrameHeader-8)
			return func() bool { _, err := os.Stat(path); return errors.Is(err, fs.ErrNotExist) }
		}},
		{"a sector of the log", "scrub found damage in the log: written anew from memory", func(t *testing.T, n *cluster.Node) func() bool {
			path, frame := middleFrame(t, readWAL(t, n), rng)
			overwrite(t, path, frame.offset/512*512, make([]byte, 512))
			return func() bool { _, err := os.Stat(path); return errors.Is(err, fs.ErrNotExist) }
		}},
		{"a copy of the hard state", `"hard state"`, func(t *testing.T, n *cluster.Node) func() bool {
			path := filepath.Join(n.Dir, "hardstate")
			flipByte(t, path, rng.Int64N(2)*4096+8, 32)
			return func() bool {
				b, err := os.ReadFile(path)
				return err == nil && bytes.Equal(b[:4096], b[4096:])
			}
		}},
		{"the identity", `"identity"`, func(t *testing.T, n *cluster.Node) func() bool {
			path := filepath.Join(n.Dir, "identity")
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			flipByte(t, path, 0, int64(len(before)))
			return func() bool { now, err := os.ReadFile(path); return err == nil && bytes.Equal(now, before) }
		}},
	} {
		node := c.Nodes[i%len(c.Nodes)]
		mended := d.damage(t, node)
		line, ok := node.AwaitLog(d.says, scrubTimeout)
		if !ok {
			t.Fatalf("%s of %s is damaged, and its log does not say %q", d.name, node.Name, d.says)
		}
		t.Logf("%s of %s: %s", d.name, node.Name, line)
		await(t, d.name+" is whole again", mended)
		awaitAcks(t, load, 100)
	}
	c.KillAll()
	c.StartAll()
	awaitAcks(t, load, 100)
	settle(t, c, load)
}

// TestScrubFindsAValue damages a value in the state file of a node that runs and has nothing of it in memory. It never gives
// out anything but the value or an error, finds the damage without being asked for the value, and rebuilds its state.
func TestScrubFindsAValue(t *testing.T) {
	onlyQuorumKV(t)
	c := cluster.Start(t, scrubbing)
	ctx, cancel := context.WithTimeout(context.Background(), 2*scrubTimeout)
	defer cancel()
	const key, value = "canary", "a value of which there are few copies"
	if _, err := c.Client().Put(ctx, key, value); err != nil {
		t.Fatal(err)
	}
	victim := c.Followers()[0]
	node := c.Nodes[victim]
	c.Revision(victim)
	node.Stop()
	node.Restart()
	reader := c.Client(victim)
	read := func() error {
		got, err := reader.Get(ctx, key, clientv3.WithSerializable())
		if err == nil && (len(got.Kvs) != 1 || string(got.Kvs[0].Value) != value) {
			t.Fatalf("%s serves %v", node.Name, got.Kvs)
		}
		return err
	}
	found := 0
	for _, path := range match(t, node, "state", "*", "db") {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; ; at += len(value) {
			next := bytes.Index(content[at:], []byte(value))
			if next < 0 {
				break
			}
			at += next
			flip(t, path, int64(at), 1)
			found++
		}
	}
	if found == 0 {
		t.Fatalf("the value is not in the state file of %s", node.Name)
	}
	if _, ok := node.AwaitLog("scrub found damage in the state", scrubTimeout); !ok {
		t.Fatalf("%s did not find the damaged value", node.Name)
	}
	await(t, "the value is served again", func() bool { return read() == nil })
	line, ok := node.AwaitLog("state rebuilt from a snapshot", scrubTimeout)
	if !ok {
		t.Fatalf("%s serves the value and has not rebuilt its state", node.Name)
	}
	t.Logf("%d copies damaged: %s", found, line)
	c.AwaitEqual()
}

// await looks again and again until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(scrubTimeout); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, scrubTimeout)
		}
	}
}
