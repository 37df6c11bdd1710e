package heapbound

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
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

// churn is what a process of its own does, see collections: it holds much and allocates more.
const churn = "HEAPBOUND_CHURN"

var kept []byte

func TestMain(m *testing.M) {
	if os.Getenv(churn) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(churn) == "bound" {
		Set()
	}
	large := make([]byte, 256<<20)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 1 << 30 / (64 << 10) {
		kept = make([]byte, 64<<10)
	}
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(large)
	os.Stdout.WriteString(strconv.Itoa(int(after.NumGC - before.NumGC)))
}

// collections returns how many there were while a process that holds 256 MiB allocated 1 GiB.
func collections(t *testing.T, how string, environ ...string) int {
	t.Helper()
	c := exec.Command(os.Args[0])
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GOGC=") && !strings.HasPrefix(e, "GOMEMLIMIT=") {
			c.Env = append(c.Env, e)
		}
	}
	c.Env = append(append(c.Env, churn+"="+how), environ...)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(string(out))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A large heap is collected when it has grown by a third, in every cycle and not only in the first: some twelve times, where
// Go's rule would do so four times. More garbage is made while a collection runs: how many there are depends on the machine.
func TestMoreCollectionsOfALargeHeap(t *testing.T) {
	bound, free := collections(t, "bound"), collections(t, "free")
	if bound < 2*free {
		t.Errorf("%d collections with a bound, %d without", bound, free)
	}
	if n := collections(t, "bound", "GOGC=100"); n >= bound {
		t.Errorf("%d collections with a bound, %d with one and GOGC: that was not heeded", bound, n)
	}
}
