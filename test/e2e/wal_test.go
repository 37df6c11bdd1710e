package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestTornWAL injures the log of a killed node where a crash may: beyond what was synced. The node must start, cut the
// tail off, and converge with the others, which kept serving.
func TestTornWAL(t *testing.T) {
	onlyQuorumKV(t)
	rng, seed := newRand(t)
	c := cluster.Start(t, cluster.Config{})
	load := startLoad(t, c, 12, 4, seed)
	awaitAcks(t, load, 300)
	injuries := []struct {
		name   string
		injure func(t *testing.T, f walFile)
	}{
		{"garbage after the last frame", func(t *testing.T, f walFile) { overwrite(t, f.path, f.end, noise(rng, 3000)) }},
		{"a sector of ones after the last frame", func(t *testing.T, f walFile) {
			overwrite(t, f.path, (f.end+511)/512*512, []byte(strings.Repeat("\xff", 512)))
		}},
		{"half a frame with a stale header", func(t *testing.T, f walFile) {
			last := f.frames[len(f.frames)-1]
			data, err := os.ReadFile(f.path)
			if err != nil {
				t.Fatal(err)
			}
			overwrite(t, f.path, f.end, data[last.offset:last.offset+max(last.size/2, 32)])
		}},
		{"truncated after the last frame", func(t *testing.T, f walFile) { truncate(t, f.path, f.end) }},
		{"truncated inside the zeros", func(t *testing.T, f walFile) { truncate(t, f.path, min(f.end+777, f.size)) }},
		{"an unfinished next segment", func(t *testing.T, f walFile) {
			write(t, filepath.Join(filepath.Dir(f.path), "next.tmp"), string(noise(rng, 5000)))
		}},
	}
	for i, injury := range injuries {
		victim := c.Leader() // half of the time; a new leader starts new segments of its own
		if i%2 == 1 {
			victim = c.Followers()[rng.IntN(2)]
		}
		node := c.Nodes[victim]
		node.Kill()
		files := readWAL(t, node)
		injury.injure(t, files[len(files)-1])
		awaitAcks(t, load, 50)
		ready := node.Restart()
		t.Logf("%s of %s: ready after %v", injury.name, node.Name, ready.Round(time.Millisecond))
		c.Revision(victim)
		awaitAcks(t, load, 100)
	}
	settle(t, c, load)
}

// TestTornSeal injures the seal at the end of an idle node's log. A seal is never synced for, so losing it is no loss.
func TestTornSeal(t *testing.T) {
	onlyQuorumKV(t)
	rng, seed := newRand(t)
	c := cluster.Start(t, cluster.Config{})
	load := startLoad(t, c, 4, 1, seed)
	awaitAcks(t, load, 100)
	load.Stop()
	c.AwaitEqual()
	node := c.Nodes[c.Followers()[0]]
	awaitSeal(t, node)
	node.Kill()
	files := readWAL(t, node)
	last := files[len(files)-1]
	seal := last.frames[len(last.frames)-1]
	overwrite(t, last.path, seal.offset, noise(rng, int(seal.size)))
	node.Restart()
	settle(t, c, load)
}

// onlyQuorumKV skips a test of our own files when another server is selected.
func onlyQuorumKV(t *testing.T) {
	t.Helper()
	if cluster.Server(t).IsEtcd() {
		t.Skip("about QuorumKV's own files")
	}
}

// awaitSeal waits until the node's log ends in a seal, which it writes when nothing happens for a moment.
func awaitSeal(t *testing.T, n *cluster.Node) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		files := readWAL(t, n)
		last := files[len(files)-1]
		if len(last.frames) > 0 && last.frames[len(last.frames)-1].kind == 's' {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log of %s does not end in a seal", n.Name)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestRepair damages the files of a stopped node where they were synced: the node says what it lost, gets it from the others
// by itself, and all three end up with the same.
func TestRepair(t *testing.T) {
	onlyQuorumKV(t)
	rng, seed := newRand(t)
	c := cluster.Start(t, cluster.Config{})
	load := startLoad(t, c, 12, 2, seed)
	awaitAcks(t, load, 2000)
	damages := []struct {
		name, says string
		damage     func(t *testing.T, n *cluster.Node)
	}{
		{"one bit of the log", "log repaired", func(t *testing.T, n *cluster.Node) {
			path, frame := middleFrame(t, readWAL(t, n), rng)
			flip(t, path, frame.offset+walFrameHeader+rng.Int64N(frame.size-walFrameHeader-8), byte(1)<<rng.IntN(8))
		}},
		{"the head of the newest segment", "log repaired", func(t *testing.T, n *cluster.Node) {
			files := readWAL(t, n)
			overwrite(t, files[len(files)-1].path, 0, make([]byte, 512))
		}},
		{"all of the log", "log repaired", func(t *testing.T, n *cluster.Node) { removeFiles(t, n, "wal", "*.log") }},
		{"the state's meta pages", "state file is damaged", func(t *testing.T, n *cluster.Node) {
			for _, path := range match(t, n, "state", "*", "db") {
				overwrite(t, path, 0, make([]byte, 2*os.Getpagesize()))
			}
		}},
		{"the state", "state file is damaged", func(t *testing.T, n *cluster.Node) { removeFiles(t, n, "state", "*", "db") }},
	}
	for i, d := range damages {
		victim := c.Leader()
		if i%2 == 1 {
			victim = c.Followers()[rng.IntN(2)]
		}
		node := c.Nodes[victim]
		node.Kill()
		d.damage(t, node)
		awaitAcks(t, load, 50)
		ready := node.Restart()
		line, ok := node.AwaitLog(d.says, time.Second)
		if !ok {
			t.Errorf("%s of %s is damaged, and its log does not say %q", d.name, node.Name, d.says)
		}
		t.Logf("%s of %s: ready after %v: %s", d.name, node.Name, ready.Round(time.Millisecond), line)
		c.Revision(victim)
		awaitAcks(t, load, 100)
	}
	settle(t, c, load)
}

func match(t *testing.T, n *cluster.Node, pattern ...string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(append([]string{n.Dir}, pattern...)...))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files %s of %s: %v", filepath.Join(pattern...), n.Name, err)
	}
	return paths
}

func removeFiles(t *testing.T, n *cluster.Node, pattern ...string) {
	t.Helper()
	for _, path := range match(t, n, pattern...) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// middleFrame chooses a frame with entries that has frames with entries before and after it.
func middleFrame(t *testing.T, files []walFile, rng *rand.Rand) (path string, frame walFrame) {
	t.Helper()
	for _, f := range files {
		var middle []walFrame
		for i, frame := range f.frames {
			if frame.kind == 'e' && frame.last >= frame.first && i > len(f.frames)/4 && i < 3*len(f.frames)/4 &&
				frame.size > walFrameHeader+64 {
				middle = append(middle, frame)
			}
		}
		if len(middle) > 10 {
			return f.path, middle[rng.IntN(len(middle))]
		}
	}
	t.Fatal("no segment has enough frames")
	return "", walFrame{}
}

func noise(rng *rand.Rand, size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(1 + rng.IntN(255)) // never zero, which would be nothing
	}
	return data
}

// overwrite writes over a file's end if need be.
func overwrite(t *testing.T, path string, offset int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, offset); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, path string, offset int64, bit byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= bit
	if _, err := f.WriteAt(b[:], offset); err != nil {
		t.Fatal(err)
	}
}
