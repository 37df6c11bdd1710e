package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestCheckAndRecover loses two of three members for good. The files of all are sound after SIGKILL; damage to one
// member's files is named, one kind after the other; and the better of two survivors becomes a new cluster that has
// every acknowledged write, because any two members have met every quorum.
func TestCheckAndRecover(t *testing.T) {
	onlyQuorumKV(t)
	c := cluster.Start(t, cluster.Config{})
	acked := putMany(t, c, 300)
	awaitInState(t, c.Nodes[2], recoverKey(20))
	c.KillAll()
	for _, n := range c.Nodes {
		if r := offlineTool(t, 0, "check", n.Dir); !strings.Contains(r.Stdout, "is sound") {
			t.Errorf("%s after SIGKILL:\n%s", n.Name, r.Stdout)
		}
	}
	checkDamages(t, c.Nodes[2])

	best := c.Nodes[0]
	plan := planOf(t, best)
	if p := planOf(t, c.Nodes[1]); p.Term > plan.Term || p.Term == plan.Term && p.Index > plan.Index {
		best, plan = c.Nodes[1], p
	}
	fresh := cluster.New(t, cluster.Config{Nodes: 1})
	node := fresh.Nodes[0]
	if err := os.Remove(node.Dir); err != nil {
		t.Fatal(err)
	}
	before := digestDir(t, best.Dir)
	offlineTool(t, 2, "recover", best.Dir, "--accept-loss", "0000000000", "--to", node.Dir)
	offlineTool(t, 0, "recover", best.Dir, "--accept-loss", plan.Token, "--to", node.Dir)
	if after := digestDir(t, best.Dir); after != before {
		t.Errorf("recover changed %s:\n%s\nbefore:\n%s", best.Dir, after, before)
	}
	refuseOldFlags(t, c.Program, best, node.Dir)
	node.Restart()
	readRecovered(t, fresh, plan, acked)
	node.Kill()
	node.Restart() // its own log, now
	readRecovered(t, fresh, plan, acked)
	node.Kill()
	offlineTool(t, 0, "check", node.Dir)
}

// putMany writes keys, some with a lease, and returns the revision of the last write that was acknowledged.
func putMany(t *testing.T, c *cluster.Cluster, keys int) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lease, err := c.Client().Grant(ctx, 3600)
	if err != nil {
		t.Fatal(err)
	}
	var revision int64
	for i := range keys {
		var opts []clientv3.OpOption
		if i%10 == 0 {
			opts = append(opts, clientv3.WithLease(lease.ID))
		}
		r, err := c.Client().Put(ctx, recoverKey(i), strings.Repeat("v", i), opts...)
		if err != nil {
			t.Fatal(err)
		}
		revision = r.Header.Revision
	}
	return revision
}

// awaitInState waits until a key is in the node's state file, which gets what is applied a moment later.
func awaitInState(t *testing.T, n *cluster.Node, key string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !bytes.Contains(readState(t, n), []byte(key)) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is not in the state file of %s", key, n.Name)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stateFile is the file of the node's only state generation, relative to its directory.
func stateFile(t *testing.T, n *cluster.Node) string {
	t.Helper()
	names, err := fs.Glob(os.DirFS(n.Dir), "state/0*/db")
	if err != nil || len(names) != 1 {
		t.Fatalf("state files of %s: %v, %v", n.Name, names, err)
	}
	return names[0]
}

func readState(t *testing.T, n *cluster.Node) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(n.Dir, stateFile(t, n)))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// spoilKey changes a key in all places of a state file, also in pages that bbolt has left behind.
func spoilKey(content []byte, key string) []byte {
	return bytes.ReplaceAll(content, []byte(key), []byte(strings.ToUpper(key)))
}

func recoverKey(i int) string { return fmt.Sprintf("recover/%04d", i) }

func offlineTool(t *testing.T, code int, args ...string) cluster.Result {
	t.Helper()
	r := cluster.Run(t, quorumctlPath(t), args, time.Minute)
	if r.Code != code || r.TimedOut {
		t.Fatalf("quorumctl %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.Code, code, r.Stdout, r.Stderr)
	}
	return r
}

// checkDamages injures the files of a member with a hex edit, in one place at a time, and undoes it.
func checkDamages(t *testing.T, n *cluster.Node) {
	t.Helper()
	files := readWAL(t, n)
	log := files[len(files)-1]
	var middle walFrame
	for i, frame := range log.frames {
		if frame.kind == 'e' && i > len(log.frames)/2 {
			middle = frame
			break
		}
	}
	rel, err := filepath.Rel(n.Dir, log.path)
	if err != nil {
		t.Fatal(err)
	}
	state := stateFile(t, n)
	zero := func(at int64) func([]byte) []byte {
		return func(b []byte) []byte { clear(b[at : at+512]); return b }
	}
	flipAt := func(at int64) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 4; return b }
	}
	gone := func([]byte) []byte { return nil }
	for _, d := range []struct {
		name, file string
		change     func([]byte) []byte
		code       int
		says       string
	}{
		{"identity, a bit", "identity", flipAt(9), 1, "REFUSES: identity"},
		{"hard state, a sector", "hardstate", zero(0), 1, "REPAIRS: hardstate, offset 0"},
		{"hard state removed", "hardstate", gone, 1, "REFUSES: hardstate"},
		{"log, a bit", rel, flipAt(middle.offset + walFrameHeader + 20), 1,
			fmt.Sprintf("%s, offset %d, ind", rel, middle.offset)},
		{"log, a sector", rel, zero(middle.offset / 512 * 512), 1, "REPAIRS: " + rel},
		{"log cut off in the middle", rel, func(b []byte) []byte { return b[:middle.offset+10] }, -1, rel},
		{"state, a row", state, func(b []byte) []byte { return spoilKey(b, recoverKey(20)) }, 1, "1 of"},
		{"state cut off", state, func(b []byte) []byte { return b[:5000] }, 1, "REPAIRS: " + state},
		{"state removed", state, gone, 1, "REPAIRS: " + state},
		{"CURRENT, a bit", "state/CURRENT", flipAt(2), 1, "REPAIRS: state/CURRENT"},
	} {
		path := filepath.Join(n.Dir, d.file)
		sound, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		injure(t, path, d.change(slices.Clone(sound)))
		r := cluster.Run(t, quorumctlPath(t), []string{"check", "files", n.Dir}, time.Minute)
		if r.Code != d.code && d.code >= 0 || r.Code > 1 || !strings.Contains(r.Stdout, d.says) {
			t.Errorf("%s: exit code %d, want %d and %q in\n%s%s", d.name, r.Code, d.code, d.says, r.Stdout, r.Stderr)
		}
		injure(t, path, sound)
	}
	offlineTool(t, 0, "check", "files", n.Dir)
}

// injure replaces a file's content; nil removes it.
func injure(t *testing.T, path string, content []byte) {
	t.Helper()
	err := os.Remove(path)
	if err == nil && content != nil {
		err = os.WriteFile(path, content, 0o600)
	}
	if content != nil && os.IsNotExist(err) {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// recoveryPlan is what the test reads of `recover --plan -w json`.
type recoveryPlan struct {
	Index, Term uint64
	Revision    int64
	Keys        int
	Token       string
}

func planOf(t *testing.T, n *cluster.Node) (p recoveryPlan) {
	t.Helper()
	r := offlineTool(t, 0, "recover", n.Dir, "--plan", "-w", "json")
	if err := json.Unmarshal([]byte(r.Stdout), &p); err != nil {
		t.Fatalf("%v in %s", err, r.Stdout)
	}
	t.Logf("plan of %s: %s", n.Name, strings.TrimSpace(r.Stdout))
	return p
}

// digestDir lists the files of a directory with their sizes and checksums.
func digestDir(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() || info.Name() == "ballast" {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %d %v %08x\n", path, info.Size(), info.ModTime(), crc32.ChecksumIEEE(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// refuseOldFlags starts a server on the new folder with the flags of the old member: it must not take it for its own.
func refuseOldFlags(t *testing.T, p cluster.Program, old *cluster.Node, dir string) {
	t.Helper()
	args := old.Args()
	for i := range args {
		if strings.HasPrefix(args[i], "--data-dir=") {
			args[i] = "--data-dir=" + dir
		}
	}
	r := cluster.Run(t, p.Path, args, 20*time.Second)
	if r.TimedOut || r.Code == 0 || !strings.Contains(r.Stderr, "belongs to another member") {
		t.Errorf("with the old flags: exit code %d, still running: %v\n%s", r.Code, r.TimedOut, r.Stderr)
	}
}

// readRecovered reads everything back, and goes on writing.
func readRecovered(t *testing.T, c *cluster.Cluster, plan recoveryPlan, acked int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := c.Client().Get(ctx, "recover/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if r.Header.Revision < max(plan.Revision, acked) {
		t.Errorf("revision %d, the plan said %d, the last write was acknowledged at %d", r.Header.Revision, plan.Revision, acked)
	}
	leased := 0
	for i, kv := range r.Kvs {
		if string(kv.Key) != recoverKey(i) || string(kv.Value) != strings.Repeat("v", i) {
			t.Fatalf("pair %d is %q = %d bytes", i, kv.Key, len(kv.Value))
		}
		if kv.Lease != 0 {
			leased++
		}
	}
	if len(r.Kvs) != 300 || leased != 30 {
		t.Errorf("%d keys, %d of them with a lease; want 300 and 30", len(r.Kvs), leased)
	}
	members, err := c.Client().MemberList(ctx)
	if err != nil || len(members.Members) != 1 {
		t.Errorf("members: %v, %v", members, err)
	}
	w, err := c.Client().Put(ctx, "after", "recovery")
	if err != nil {
		t.Fatal(err)
	}
	if w.Header.Revision != r.Header.Revision+1 {
		t.Errorf("the next write has revision %d, after %d", w.Header.Revision, r.Header.Revision)
	}
}
