package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"github.com/quorumkv/quorumkv/test/cluster"
)

const (
	// volumeSize holds two segments of the log, the ballast and a small state file, with room to spare.
	volumeSize = "size=400m"
	// writesBack is how soon writes are promised to be accepted once there is space again.
	writesBack = 5 * time.Second
)

// TestFullVolume gives every node a small file system of its own and fills, under load, first the leader's, then a
// follower's, then all of them. Writes are refused with etcd's error, reads and deletes go on, no process ends, and writes are
// back soon after there is space, without anybody's help.
func TestFullVolume(t *testing.T) {
	onlyQuorumKV(t)
	c := cluster.New(t, cluster.Config{})
	for _, n := range c.Nodes {
		mountVolume(t, n.Dir)
	}
	_, seed := newRand(t)
	c.StartAll()
	load := startLoad(t, c, 8, 2, seed)
	awaitAcks(t, load, 500)
	var generations []int64
	for _, n := range c.Nodes {
		generations = append(generations, n.Generation())
	}

	var took []time.Duration
	for _, round := range []struct {
		whose string
		nodes func() []int
	}{
		{"the leader's", func() []int { return []int{c.Leader()} }},
		{"a follower's", func() []int { return c.Followers()[:1] }},
		{"every", func() []int { return []int{0, 1, 2} }},
	} {
		var fillers []string
		for _, i := range round.nodes() {
			fillers = append(fillers, fillVolume(t, c.Nodes[i].Dir))
		}
		await(t, "writes are refused when "+round.whose+" volume is full", func() bool {
			return errors.Is(tryPut(c), rpctypes.ErrNoSpace)
		})
		readAndDelete(t, c)
		for _, filler := range fillers {
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		await(t, "writes are accepted when "+round.whose+" volume has space again", func() bool { return tryPut(c) == nil })
		took = append(took, time.Since(begin))
		t.Logf("%s volume: writes were back after %v", round.whose, took[len(took)-1].Round(time.Millisecond))
		awaitAcks(t, load, 100)
	}
	if quickest := slices.Min(took); quickest > writesBack { // of three, for the machine may be busy
		t.Errorf("writes were back after %v at best, promised are %v", quickest, writesBack)
	}
	for i, n := range c.Nodes {
		if !n.Running() || n.Generation() != generations[i] {
			t.Errorf("%s did not live through it", n.Name)
		}
	}
	settle(t, c, load)
}

// mountVolume mounts a small file system in memory, or skips the test where that is not allowed.
func mountVolume(t *testing.T, dir string) {
	t.Helper()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, volumeSize)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skipf("mount %s: %v: a small file system takes root; run it with sudo", dir, err)
	}
	if err != nil {
		t.Fatalf("mount %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// fillVolume takes all space that is left, with a file that it returns the name of.
func fillVolume(t *testing.T, dir string) string {
	t.Helper()
	name := filepath.Join(dir, "filler")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &s); err != nil {
		t.Fatal(err)
	}
	free := int64(s.Bavail) * s.Bsize
	for ; free > 0; free -= 1 << 20 { // the node takes some of it meanwhile
		if err = unix.Fallocate(int(file.Fd()), 0, 0, free); !errors.Is(err, unix.ENOSPC) {
			break
		}
	}
	if err != nil {
		t.Fatalf("fill %s: %v", dir, err)
	}
	return name
}

func tryPut(c *cluster.Cluster) error {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	_, err := c.Client().Put(ctx, "full/"+time.Now().Format(time.RFC3339Nano), "v")
	return err
}

// readAndDelete reads on every node and deletes what it finds of tryPut's.
func readAndDelete(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	for i, n := range c.Nodes {
		ctx, cancel := context.WithTimeout(context.Background(), ackTimeout)
		if _, err := c.Client(i).Get(ctx, "full/", clientv3.WithPrefix()); err != nil {
			t.Errorf("read on %s: %v", n.Name, err)
		}
		if _, err := c.Client(i).Delete(ctx, "full/", clientv3.WithPrefix()); err != nil {
			t.Errorf("delete on %s: %v", n.Name, err)
		}
		cancel()
	}
}
