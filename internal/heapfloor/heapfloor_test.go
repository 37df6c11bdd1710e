package heapfloor

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestPercent(t *testing.T) {
	const floor = 64 << 20
	for _, c := range []struct {
		base uint64
		want int
	}{
		{0, 1600}, {leastHeap, 1600}, {16 << 20, 400}, {floor, 100}, {1 << 30, 100},
	} {
		if got := percent(c.base, floor); got != c.want {
			t.Errorf("a heap of %d bytes may grow by %d %%, want %d", c.base, got, c.want)
		}
	}
}

// churn is what a process of its own does, see collections: it allocates much and keeps little.
const churn = "HEAPFLOOR_CHURN"

var kept []byte

func TestMain(m *testing.M) {
	if os.Getenv(churn) == "" {
		os.Exit(m.Run())
	}
	if floor, _ := strconv.ParseUint(os.Getenv(churn), 10, 64); floor > 0 {
		Set(floor)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 512 << 20 / (64 << 10) {
		kept = make([]byte, 64<<10)
	}
	runtime.ReadMemStats(&after)
	os.Stdout.WriteString(strconv.Itoa(int(after.NumGC - before.NumGC)))
}

// collections returns how many there were while a process with that floor, 0 for none, allocated 512 MiB.
func collections(t *testing.T, floor int, environ ...string) int {
	t.Helper()
	c := exec.Command(os.Args[0])
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GOGC=") && !strings.HasPrefix(e, "GOMEMLIMIT=") {
			c.Env = append(c.Env, e)
		}
	}
	c.Env = append(append(c.Env, churn+"="+strconv.Itoa(floor)), environ...)
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

// A heap that stays small is collected once for each floor's worth of garbage, in every cycle and not only in the first.
func TestFewCollectionsOfASmallHeap(t *testing.T) {
	const floor = 64 << 20
	few := collections(t, floor)
	if few < 2 || few > 12 {
		t.Errorf("%d collections in 512 MiB of garbage with a floor of 64 MiB, want about 8", few)
	}
	// More garbage is made while a collection runs: how many there are depends on the machine.
	if n := collections(t, 0); n < 2*few {
		t.Errorf("%d collections without a floor, %d with one", n, few)
	}
	if n := collections(t, floor, "GOGC=100"); n < 2*few {
		t.Errorf("%d collections: GOGC was not heeded", n)
	}
	if n := collections(t, floor, "GOMEMLIMIT=12MiB"); n < 2*few {
		t.Errorf("%d collections: GOMEMLIMIT was not heeded", n)
	}
}
