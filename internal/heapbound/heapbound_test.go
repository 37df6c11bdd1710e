package heapbound

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
)

func TestPercent(t *testing.T) {
	const fast, slow = 1 << 30, 1 << 20 // bytes in a second
	for _, c := range []struct {
		live uint64
		rate float64
		want int
	}{
		{0, fast, 100}, {1, fast, 100}, {64 << 20, fast, 100}, {128 << 20, fast, 50}, {256 << 20, fast, 33}, {1 << 40, fast, 33},
		{0, 0, 33}, {1 << 20, slow, 100}, {8 << 20, slow, 50}, {64 << 20, slow, 33}, {1 << 40, slow, 33},
	} {
		if got := percent(c.live, c.rate); got != c.want {
			t.Errorf("a heap with %d live bytes that grows by %v a second may grow by %d %%, want %d", c.live, c.rate, got, c.want)
		}
	}
}

// hold is what a process of its own does, see goals.
const hold = "HEAPBOUND_HOLD"

// What it holds, in MiB.
const large, small = 256, 32

func TestMain(m *testing.M) {
	how := os.Getenv(hold)
	if how == "" {
		os.Exit(m.Run())
	}
	if how == "bound" {
		Set()()
	}
	bound := how == "bound" && os.Getenv("GOGC") == ""
	fmt.Println(goalHolding(large, true, bound), goalHolding(small, true, bound), goalHolding(small, false, bound))
}

// garbage is what a busy process leaves behind.
var garbage []byte

// goalHolding returns the size, in MiB, at which a heap with so many live is collected. The bound follows behind each collection,
// so some pass first, and more while it is not what Set promises.
func goalHolding(mib int, busy, bound bool) (goal int) {
	held := make([]byte, mib<<20)
	rate := 0.0
	if busy {
		rate = 1 << 30
	}
	promised := mib + mib*percent(uint64(mib)<<20, rate)/100
	for i := 0; i < 10 || bound && i < 1000 && (goal < promised-mib/10 || goal > promised+mib/10); i++ {
		if busy {
			garbage = make([]byte, 16<<20)
			garbage = nil
		}
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		goal = int(s.NextGC >> 20)
	}
	runtime.KeepAlive(held)
	return goal
}

// goals returns at which sizes, in MiB, the heap of a process is collected that is busy and holds much, then little, and then rests.
func goals(t *testing.T, how string, environ ...string) (much, little, resting int) {
	t.Helper()
	c := exec.Command(os.Args[0])
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GOGC=") && !strings.HasPrefix(e, "GOMEMLIMIT=") {
			c.Env = append(c.Env, e)
		}
	}
	c.Env = append(append(c.Env, hold+"="+how), environ...)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(out), &much, &little, &resting); err != nil {
		t.Fatal(err)
	}
	return much, little, resting
}

// A large heap is collected when it has grown by a third, one that is small again when it has doubled, as Go does it, and one
// that hardly grows any more by a third again.
func TestWhenHeapsAreCollected(t *testing.T) {
	for _, c := range []struct {
		name, how     string
		environ       []string
		much, resting int
	}{
		{"with a bound", "bound", nil, large * 4 / 3, small * 4 / 3},
		{"without", "free", nil, large * 2, small * 2},
		{"with GOGC, which is heeded", "bound", []string{"GOGC=100"}, large * 2, small * 2},
	} {
		much, little, resting := goals(t, c.how, c.environ...)
		for _, g := range []struct {
			heap      string
			got, want int
		}{
			{fmt.Sprintf("a heap of %d MiB", large), much, c.much},
			{fmt.Sprintf("a heap of %d MiB, once larger,", small), little, small * 2},
			{fmt.Sprintf("a heap of %d MiB that rests", small), resting, c.resting},
		} {
			if g.got < g.want*9/10 || g.got > g.want*11/10 {
				t.Errorf("%s, %s may grow to %d, want %d", c.name, g.heap, g.got, g.want)
			}
		}
	}
}

// TestHeapThatHasCeasedToGrow is about a process that nothing makes collect: what it may grow by is set without that.
func TestHeapThatHasCeasedToGrow(t *testing.T) {
	limit := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	defer debug.SetGCPercent(debug.SetGCPercent(defaultPercent))
	held := make([]byte, 64<<20)
	Set()()
	for begin := time.Now(); ; {
		metrics.Read(limit)
		if limit[0].Value.Uint64() == leastPercent {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("after %v the heap may still grow by %d %%, want %d", time.Since(begin), limit[0].Value.Uint64(), leastPercent)
		}
		runtime.Gosched()
	}
	runtime.KeepAlive(held)
}

// TestNothingIsCollectedWhileLoading, and a load that does not end keeps nobody from collecting.
func TestNothingIsCollectedWhileLoading(t *testing.T) {
	limit := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	percent := func() int64 {
		metrics.Read(limit)
		return int64(limit[0].Value.Uint64())
	}
	defer debug.SetGCPercent(debug.SetGCPercent(defaultPercent))
	for _, tells := range []bool{true, false} {
		loaded := Set()
		if got := percent(); got != off {
			t.Errorf("while it is filled the heap may grow by %d %%", got)
		}
		begin := time.Now()
		if tells {
			loaded()
		}
		for percent() == off {
			if tells || time.Since(begin) > time.Minute {
				t.Fatalf("%v later the heap is still not collected", time.Since(begin))
			}
			runtime.Gosched()
		}
	}
}
