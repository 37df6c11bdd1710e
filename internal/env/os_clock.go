package env

import "time"

// osClock is the machine's clock. Its zero is the moment the OS was made.
type osClock struct {
	boot time.Time // carries the monotonic reading that Now subtracts
	post func(func())
}

// Now is the time since boot; setting the wall clock does not move it.
func (c *osClock) Now() time.Duration { return time.Since(c.boot) }

// Wall is the wall clock.
func (c *osClock) Wall() time.Time { return time.Now() }

// timer is one pending After. The runtime's timer only posts fire; whether f still runs is decided on the loop, by the
// field below. That is why a stop on the loop always wins, even against a fire that already sits in the queue.
type timer struct {
	f       func() // nil once run or stopped; read and written on the loop only, after After returned
	runtime *time.Timer
}

// After runs f on the loop once d has passed, unless stop is called before, on the loop.
func (c *osClock) After(d time.Duration, f func()) (stop func()) {
	t := &timer{f: f}
	t.runtime = time.AfterFunc(d, func() { c.post(t.fire) })
	return t.stop
}

func (t *timer) fire() {
	if f := t.f; f != nil {
		t.f = nil
		f()
	}
}

func (t *timer) stop() {
	t.f = nil
	t.runtime.Stop()
}
