// Package heapfloor makes the garbage collector let a small heap grow before it collects it.
//
// Go collects when the heap has doubled. A member that holds 10 MiB and allocates 200 MiB a second would be collected
// twenty times a second, to keep it from taking 10 MiB more. With a floor it collects when the heap has doubled or has grown
// by the floor, whichever is later. A memory limit (GOMEMLIMIT) still brings collections forward.
package heapfloor

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Default is a member's floor, in bytes: what a busy one may take of memory beyond what it would take without.
const Default = 64 << 20

const (
	defaultPercent = 100
	// leastHeap is what the runtime takes a smaller heap for.
	leastHeap = 4 << 20
)

// Set puts the floor, in bytes, in place for the rest of the process's life. Somebody who has set GOGC gets what they set.
func Set(floor uint64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	t := &tuner{floor: floor, samples: []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}}
	t.tune()
}

// tuner sets the percentage anew after each collection. That takes no timer: a collection that finds the tuner's last
// sentinel dead runs its cleanup.
type tuner struct {
	floor   uint64
	percent int
	samples []metrics.Sample // the parts of what the percentage is of
}

func (t *tuner) tune() {
	metrics.Read(t.samples)
	base := uint64(0)
	for _, s := range t.samples {
		base += s.Value.Uint64()
	}
	// Setting it stops the world for a moment: not for a small difference.
	if p := percent(base, t.floor); t.percent == 0 || p > t.percent+t.percent/8 || p < t.percent-t.percent/8 {
		t.percent = p
		debug.SetGCPercent(p)
	}
	sentinel := new([64]byte) // not so small that it would share its life with others
	runtime.AddCleanup(sentinel, (*tuner).tune, t)
}

// percent returns by how much a heap of base bytes may grow: by floor bytes, or double if that is more.
func percent(base, floor uint64) int {
	return max(defaultPercent, int(floor*100/max(base, leastHeap)))
}
