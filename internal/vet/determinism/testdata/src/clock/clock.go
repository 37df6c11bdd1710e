// Package clock reads clocks and draws random numbers.
package clock

import (
	"math/rand/v2"
	. "time"
	std "time"
)

var now = std.Now // want `time.Now depends on the real clock`

func clocks(t std.Time) {
	Sleep(1)         // want `time.Sleep depends`
	_ = std.Since(t) // want `time.Since depends`
	_ = std.Until(t) // want `time.Until depends`
	std.AfterFunc(   // want `time.AfterFunc depends`
		1, func() {}) // no clock
	_ = std.NewTimer(1)  // want `time.NewTimer depends`
	_ = std.NewTicker(1) // want `time.NewTicker depends`
	_ = std.After(1)     // want `time.After depends` `call that gives a channel`
	_ = std.Tick(1)      // want `time.Tick depends` `call that gives a channel`
	_ = t.After(t)
	_ = t.Add(std.Second).Sub(std.Unix(1, 2))
	now()
}

type own struct{}

func (own) Now() int { return 0 }

func random(r *rand.Rand) {
	_ = own{}.Now()
	_ = rand.IntN(3)        // want `rand.IntN draws from the global source`
	_ = rand.N(Duration(3)) // want `rand.N draws`
	rand.Shuffle(3, nil)    // want `rand.Shuffle draws`
	r = rand.New(rand.NewPCG(1, 2))
	_ = r.IntN(3)
}
