package heapbound

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 100}, {1, 100}, {64 << 20, 100}, {128 << 20, 50}, {256 << 20, 33}, {1 << 40, 33},
	} {
		if got := percent(c.live); got != c.want {
			t.Errorf("a heap with %d live bytes may grow by %d %%, want %d", c.live, got, c.want)
		}
	}
}

// hold is what a process of its own does, see goals: it holds much, and then little.
const hold = "HEAPBOUND_HOLD"

// What it holds, in MiB.
const large, small = 256, 32

func TestMain(m *testing.M) {
	how := os.Getenv(hold)
	if how == "" {
		os.Exit(m.Run())
	}
	if how == "bound" {
		Set()
	}
	fmt.Println(goalHolding(large), goalHolding(small))
}

// goalHolding returns the size, in MiB, at which a heap with so many live is collected. The bound follows behind each collection,
// so some pass first, and more while it is not what Set promises.
func goalHolding(mib int) (goal int) {
	held := make([]byte, mib<<20)
	promised := mib + mib*percent(uint64(mib)<<20)/100
	for i := 0; i < 10 || i < 1000 && (goal < promised-mib/10 || goal > promised+mib/10); i++ {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		goal = int(s.NextGC >> 20)
	}
	runtime.KeepAlive(held)
	return goal
}

// goals returns at which sizes, in MiB, the heap of a process is collected that holds much, and then little.
func goals(t *testing.T, how string, environ ...string) (holdingMuch, holdingLittle int) {
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
	if _, err := fmt.Sscan(string(out), &holdingMuch, &holdingLittle); err != nil {
		t.Fatal(err)
	}
	return holdingMuch, holdingLittle
}

// A large heap is collected when it has grown by a third, and one that is small again when it has doubled, as Go does it.
func TestLargeHeapsAreCollectedSooner(t *testing.T) {
	for _, c := range []struct {
		name, how string
		environ   []string
		much      int
	}{
		{"with a bound", "bound", nil, large * 4 / 3},
		{"without", "free", nil, large * 2},
		{"with GOGC, which is heeded", "bound", []string{"GOGC=100"}, large * 2},
	} {
		much, little := goals(t, c.how, c.environ...)
		if much < c.much*9/10 || much > c.much*11/10 {
			t.Errorf("%s, a heap of %d MiB may grow to %d, want %d", c.name, large, much, c.much)
		}
		if want := small * 2; little < want*9/10 || little > want*11/10 {
			t.Errorf("%s, a heap of %d MiB, once larger, may grow to %d, want %d", c.name, small, little, want)
		}
	}
}
