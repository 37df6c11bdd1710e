package fault

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed says that the member stops and takes no rules any more.
var ErrClosed = errors.New("the member is stopping and takes no faults any more")

// Injector holds the rules of one member and lets it meet them. A nil Injector has none, ever. All methods may be called
// from anywhere, at once.
type Injector struct {
	changed func(Change)

	// active is what holds now; nil when nothing does.
	active atomic.Pointer[active]
	lines  lines

	// leaving is closed by Leave.
	leaving   chan struct{}
	leaveOnce sync.Once

	mu     sync.Mutex // held while active is replaced
	timer  *time.Timer
	closed bool
}

// active is a set of rules while it holds. Only its channel changes.
type active struct {
	rules Rules
	until time.Time
	over  chan struct{} // closed when the rules hold no more
}

// Change is news about the rules of a member.
type Change struct {
	Event Event
	Rules Rules     // that hold from now on; when they ended, those that did
	Until time.Time // their deadline
	Why   string    // they ended: "expired", "cleared" or "the member stops"
}

// Event is what happened to the rules.
type Event int

const (
	Began   Event = iota // there were none
	Changed              // they replace others, or hold longer
	Ended
)

// NewInjector returns an Injector without rules. changed hears of every change, in order; it must not block, nor call the
// Injector.
func NewInjector(changed func(Change)) *Injector {
	return &Injector{changed: changed, leaving: make(chan struct{}), lines: lines{all: make(map[lineKey]*line)}}
}

// Active reports whether any rules hold.
func (i *Injector) Active() bool { return i != nil && i.active.Load() != nil }

// Rules returns the rules that hold and when they end; no rules and the zero time when none do.
func (i *Injector) Rules() (Rules, time.Time) {
	if i == nil {
		return Rules{}, time.Time{}
	}
	if a := i.active.Load(); a != nil {
		return a.rules.clone(), a.until
	}
	return Rules{}, time.Time{}
}

// Set replaces the rules by others, which end by themselves after ttl, and returns when that will be. Rules without a
// fault end those that hold, and need no ttl. peer is as for [Rules.Validate].
func (i *Injector) Set(r Rules, ttl time.Duration, peer func(id uint64) error) (until time.Time, err error) {
	if err := r.Validate(peer); err != nil {
		return time.Time{}, err
	}
	if r.Empty() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.end("cleared")
		return time.Time{}, nil
	}
	if err := CheckTTL(ttl); err != nil {
		return time.Time{}, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return time.Time{}, ErrClosed
	}
	event := Began
	if i.timer != nil {
		event = Changed
		i.timer.Stop()
	}
	a := &active{rules: r.clone(), until: time.Now().Add(ttl), over: make(chan struct{})}
	i.timer = time.AfterFunc(ttl, func() { i.expire(a) })
	i.replace(a)
	i.changed(Change{Event: event, Rules: r.clone(), Until: a.until})
	return a.until, nil
}

// Leave ends a stall of the disk for good: the member is about to stop, and that must not take longer than usual. Other
// rules hold on.
func (i *Injector) Leave() {
	if i != nil {
		i.leaveOnce.Do(func() { close(i.leaving) })
	}
}

// Close ends the rules, and takes no others.
func (i *Injector) Close() {
	if i == nil {
		return
	}
	i.Leave()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	i.end("the member stops")
}

func (i *Injector) expire(a *active) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.active.Load() == a { // else others came in between
		i.end("expired")
	}
}

// end leaves the member without rules. The caller holds mu.
func (i *Injector) end(why string) {
	old := i.active.Load()
	if old == nil {
		return
	}
	i.timer.Stop()
	i.timer = nil
	i.replace(nil)
	i.changed(Change{Event: Ended, Rules: old.rules.clone(), Until: old.until, Why: why})
}

// replace puts next, which may be nil, in the place of what holds. Messages that are held back go on at once, unless next
// cuts their link. The caller holds mu.
//
// On the way to no rules at all it passes through rules without a fault: as long as a line still holds something, every
// message has to go through that line, so that none overtakes another.
func (i *Injector) replace(next *active) {
	old, stage := i.active.Load(), next
	if stage == nil {
		stage = &active{over: make(chan struct{})}
	}
	i.active.Store(stage)
	if old != nil {
		close(old.over)
	}
	i.lines.release(stage.rules)
	if next == nil {
		i.active.Store(nil)
		close(stage.over)
	}
}

func (r Rules) clone() Rules {
	r.Links = slices.Clone(r.Links)
	return r
}
