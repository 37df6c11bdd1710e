// Package heapbound keeps a large heap from taking twice the memory of what is live in it.
//
// Go collects garbage when the heap has doubled. A member that holds the index of millions of keys would let as much garbage
// gather as they take, though what it allocates for its requests is little beside them. With a bound it collects when the heap
// has grown by 64 MiB, or by a third if that is more. Small heaps keep Go's rule.
package heapbound

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// leastGrowth is what any heap may grow by, unless that is more than double.
	leastGrowth = 64 << 20
	// leastPercent is for the largest heaps: to collect one costs what is live in it, so it must not happen too often.
	leastPercent   = 33
	defaultPercent = 100
)

// Set puts the bound in place for the rest of the process's life. Somebody who has set GOGC gets what they set.
func Set() {
	if os.Getenv("GOGC") != "" {
		return
	}
	t := &tuner{percent: defaultPercent, samples: []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
	}}
	t.tune()
}

// tuner sets the percentage anew after each collection. That takes no timer: a collection that finds the tuner's last
// sentinel dead runs its cleanup.
type tuner struct {
	percent int
	samples []metrics.Sample // the parts of what the percentage is of
}

func (t *tuner) tune() {
	metrics.Read(t.samples)
	live := uint64(0)
	for _, s := range t.samples {
		live += s.Value.Uint64()
	}
	// Setting it stops the world for a moment: not for a small difference.
	if p := percent(live); p > t.percent+t.percent/8 || p < t.percent-t.percent/8 {
		t.percent = p
		debug.SetGCPercent(p)
	}
	sentinel := new([64]byte) // not so small that it would share its life with others
	runtime.AddCleanup(sentinel, (*tuner).tune, t)
}

// percent returns by how much a heap may grow of which so many bytes are live.
func percent(live uint64) int {
	return max(leastPercent, int(min(defaultPercent, leastGrowth*100/max(live, 1))))
}
