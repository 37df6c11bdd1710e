// Package heapbound keeps a heap from taking twice the memory of what is live in it.
//
// Go collects garbage when the heap has doubled. A member that holds the index of millions of keys would let as much garbage
// gather as they take, and one that had a busy minute would keep its garbage for the quiet hours that follow. To collect
// costs what is live, which does not matter every few seconds. So with a bound the heap may grow by what it grows in that time,
// within limits: at least by a third; at most by 64 MiB, or a third if that is more; and never more than Go lets it.
//
// While a member starts nothing is collected: what it loads is there to stay, and to look through it each time that it has
// grown takes a tenth of the time of a start.
package heapbound

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// leastPercent is for the largest heaps, and for those that grow slowly.
	leastPercent = 33
	// mostGrowth is what a heap may grow by however fast it does, unless that is less than a third.
	mostGrowth     = 64 << 20
	defaultPercent = 100
	// patience is how long a heap need not be collected, unless Go's rule says so.
	patience = 4 * time.Second
	// off is the percentage at which nothing is collected, unless there is a limit of memory (GOMEMLIMIT).
	off = -1
	// interval is how often a heap is looked at between collections, and the most that a start goes without any.
	interval = time.Second
)

// Set puts the bound in place for the rest of the process's life, from when loaded is called, or a second later. Somebody who
// has set GOGC gets what they set.
func Set() (loaded func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	debug.SetGCPercent(off)
	t := &tuner{percent: off, at: time.Now(), samples: []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
		{Name: "/gc/heap/allocs:bytes"},
	}}
	t.follow()
	go func() {
		for range time.Tick(interval) {
			t.tune()
		}
	}()
	return t.tune
}

// tuner sets the percentage anew after each collection, and from time to time, since a heap that has ceased to grow is not
// collected.
type tuner struct {
	mu      sync.Mutex
	percent int
	// samples are the parts of what the percentage is of, and all that was ever allocated.
	samples []metrics.Sample
	// at and allocated are of the last time.
	at        time.Time
	allocated uint64
}

// follow tunes after each collection: one that finds the last sentinel dead runs its cleanup.
func (t *tuner) follow() {
	sentinel := new([64]byte) // not so small that it would share its life with others
	runtime.AddCleanup(sentinel, func(t *tuner) { t.tune(); t.follow() }, t)
}

func (t *tuner) tune() {
	t.mu.Lock()
	defer t.mu.Unlock()
	metrics.Read(t.samples)
	live, parts := uint64(0), len(t.samples)-1
	for _, s := range t.samples[:parts] {
		live += s.Value.Uint64()
	}
	now, allocated := time.Now(), t.samples[parts].Value.Uint64()
	rate := float64(allocated-t.allocated) / max(now.Sub(t.at), time.Millisecond).Seconds()
	t.at, t.allocated = now, allocated
	// Setting it stops the world for a moment: not for a small difference.
	if p := percent(live, rate); p > t.percent+t.percent/8 || p < t.percent-t.percent/8 {
		t.percent = p
		debug.SetGCPercent(p)
	}
}

// percent returns by how much a heap may grow of which so many bytes are live, and that so many are added to in a second.
func percent(live uint64, rate float64) int {
	growth := min(rate*patience.Seconds(), mostGrowth)
	return int(max(leastPercent, min(defaultPercent, growth*100/float64(max(live, 1)))))
}
