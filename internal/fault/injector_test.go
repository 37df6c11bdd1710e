package fault

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorder takes down what an Injector says.
type recorder struct {
	mu      sync.Mutex
	changes []Change
}

func (r *recorder) hear(c Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, c)
}

// take returns what was said since it was last called.
func (r *recorder) take() []Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	changes := r.changes
	r.changes = nil
	return changes
}

func set(t *testing.T, i *Injector, r Rules, ttl time.Duration) {
	t.Helper()
	if _, err := i.Set(r, ttl, anyPeer); err != nil {
		t.Fatal(err)
	}
}

// mailbox is where messages arrive; each is a number.
type mailbox struct {
	mu  sync.Mutex
	got []int
}

func (m *mailbox) put(n int) func() {
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.got = append(m.got, n)
	}
}

func (m *mailbox) holds(t *testing.T, when string, want ...int) {
	t.Helper()
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(m.got, want) {
		t.Errorf("%s: %v arrived, want %v", when, m.got, want)
	}
}

var cutAll = Rules{Links: []Link{{In: true, Out: true, Drop: 1}}}

func slow(d time.Duration) Rules { return Rules{Links: []Link{{Out: true, Delay: d}}} }

func TestRulesEndByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said recorder
		i := NewInjector(said.hear)
		defer i.Close()
		until, err := i.Set(cutAll, 10*time.Second, anyPeer)
		if err != nil || time.Until(until) != 10*time.Second {
			t.Fatalf("until %v, %v", until, err)
		}
		time.Sleep(10*time.Second - 1)
		if r, _ := i.Rules(); !i.Active() || r.Empty() {
			t.Error("over before the deadline")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if r, _ := i.Rules(); i.Active() || !r.Empty() {
			t.Errorf("still there after the deadline: %v", r)
		}
		if got := said.take(); len(got) != 2 || got[0].Event != Began || got[1].Event != Ended || got[1].Why != "expired" {
			t.Errorf("said %+v", got)
		}
	})
}

// Rules that replace others have a deadline of their own, and the first ones' deadline does not end them.
func TestReplacedRulesHaveTheirOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said recorder
		i := NewInjector(said.hear)
		set(t, i, cutAll, 10*time.Second)
		time.Sleep(5 * time.Second)
		set(t, i, Rules{Disk: DiskStall}, 10*time.Second)
		time.Sleep(7 * time.Second)
		if r, _ := i.Rules(); r.Disk != DiskStall || len(r.Links) > 0 {
			t.Errorf("after the deadline of the first: %v", r)
		}
		set(t, i, Rules{}, 0)
		set(t, i, Rules{}, 0) // again is harmless, and no news
		set(t, i, Rules{Wall: time.Hour}, time.Minute)
		i.Close()
		i.Close()
		if _, err := i.Set(cutAll, time.Minute, anyPeer); !errors.Is(err, ErrClosed) {
			t.Errorf("rules after Close: %v", err)
		}
		var got []string
		for _, c := range said.take() {
			got = append(got, [...]string{"began", "changed", "ended"}[c.Event]+" "+c.Rules.String()+" "+c.Why)
		}
		if want := []string{
			"began messages from and to every peer cut ",
			"changed log writes stalled ",
			"ended log writes stalled cleared",
			"began wall clock +1h0m0s ",
			"ended wall clock +1h0m0s the member stops",
		}; !slices.Equal(got, want) {
			t.Errorf("said %q, want %q", got, want)
		}
	})
}

func TestRefusedRulesLeaveThoseThatHold(t *testing.T) {
	i := NewInjector(func(Change) {})
	defer i.Close()
	set(t, i, cutAll, time.Minute)
	for _, c := range []struct {
		rules Rules
		ttl   time.Duration
	}{
		{Rules{Disk: DiskFail}, time.Millisecond},
		{Rules{Disk: DiskFail}, 2 * time.Hour},
		{Rules{Links: []Link{{Peer: 9, Out: true, Drop: 1}}}, time.Minute},
	} {
		if _, err := i.Set(c.rules, c.ttl, noPeer); err == nil {
			t.Errorf("%v for %v accepted", c.rules, c.ttl)
		}
	}
	if r, _ := i.Rules(); !r.link(1, In).cut() {
		t.Errorf("rules that were refused left %v", r)
	}
}

func TestLateMessagesKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewInjector(func(Change) {})
		defer i.Close()
		var box mailbox
		set(t, i, slow(100*time.Millisecond), time.Minute)
		pass := func(n int) { i.Pass(2, Out, "bulk", 1, box.put(n)) }
		for n := range 3 {
			pass(n)
			time.Sleep(10 * time.Millisecond)
		}
		box.holds(t, "after 30 ms")
		time.Sleep(80 * time.Millisecond)
		box.holds(t, "after 110 ms", 0, 1)

		// Healed, what is held comes at once and before what follows.
		pass(3)
		set(t, i, Rules{}, 0)
		box.holds(t, "healed", 0, 1, 2, 3)

		// So it does when the new rules are of another kind, and it is lost when they cut.
		set(t, i, slow(time.Second), time.Minute)
		pass(4)
		set(t, i, Rules{Disk: DiskFail}, time.Minute)
		pass(5)
		box.holds(t, "replaced", 0, 1, 2, 3, 4, 5)
		set(t, i, slow(time.Second), time.Minute)
		pass(6)
		set(t, i, cutAll, 2*time.Second)
		pass(7)
		time.Sleep(3 * time.Second)
		box.holds(t, "cut", 0, 1, 2, 3, 4, 5)
		if n := i.lines.count.Load(); n != 0 || i.lines.bytes.Load() != 0 {
			t.Errorf("%d messages still counted as held", n)
		}
	})
}

// Each peer, direction and stream is a line of its own.
func TestLinesDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewInjector(func(Change) {})
		defer i.Close()
		var box mailbox
		set(t, i, Rules{Links: []Link{{Peer: 2, Out: true, Delay: time.Second}}}, time.Minute)
		i.Pass(2, Out, "bulk", 1, box.put(1))
		i.Pass(2, In, "bulk", 1, box.put(2))
		i.Pass(3, Out, "bulk", 1, box.put(3))
		box.holds(t, "at once", 2, 3)
		time.Sleep(time.Second)
		box.holds(t, "after the delay", 2, 3, 1)
	})
}

func TestJitterStaysWithinItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewInjector(func(Change) {})
		defer i.Close()
		var box mailbox
		set(t, i, Rules{Links: []Link{{Out: true, Delay: time.Second, Jitter: time.Second}}}, time.Minute)
		const messages = 100
		for n := range messages {
			i.Pass(2, Out, "bulk", 1, box.put(n))
		}
		time.Sleep(time.Second - 1)
		box.holds(t, "before the delay is over")
		time.Sleep(time.Second + 1)
		synctest.Wait()
		if len(box.got) != messages {
			t.Fatalf("%d of %d messages arrived", len(box.got), messages)
		}
		// The chance that 100 random moments are in order is 1 in 100!.
		if slices.IsSorted(box.got) {
			t.Error("the order never changed")
		}
	})
}

func TestDuplicatesFollowTheirMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewInjector(func(Change) {})
		defer i.Close()
		var box mailbox
		set(t, i, Rules{Links: []Link{{Out: true, Duplicate: 1, Delay: time.Second}}}, time.Minute)
		i.Pass(2, Out, "bulk", 1, box.put(1))
		i.Pass(2, Out, "bulk", 1, box.put(2))
		time.Sleep(time.Second)
		box.holds(t, "after the delay", 1, 1, 2, 2)
	})
}

func TestHeldMessagesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewInjector(func(Change) {})
		defer i.Close()
		var box mailbox
		set(t, i, slow(time.Second), time.Minute)
		for n := range maxHeld + 10 {
			i.Pass(2, Out, "bulk", 1, box.put(n))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(box.got) != maxHeld {
			t.Errorf("%d messages held, want %d", len(box.got), maxHeld)
		}
		box.got = nil
		for n := range 5 {
			i.Pass(2, Out, "bulk", maxHeldBytes/4, box.put(n))
		}
		time.Sleep(time.Second)
		box.holds(t, "heavy ones", 0, 1, 2, 3)
	})
}

func TestCallsWaitForALinkThatIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewInjector(func(Change) {})
		defer i.Close()
		set(t, i, Rules{Links: []Link{{Peer: 2, Out: true, Drop: 1}, {Peer: 3, Out: true, Delay: time.Second}}}, 5*time.Second)
		took := func(patience time.Duration, peer uint64, d Direction) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			start := time.Now()
			err := i.Await(ctx, peer, d)
			return time.Since(start), err
		}
		for _, c := range []struct {
			what     string
			patience time.Duration
			peer     uint64
			d        Direction
			want     time.Duration
			err      error
		}{
			{"the other direction", time.Minute, 2, In, 0, nil},
			{"a late link", time.Minute, 3, Out, time.Second, nil},
			{"no patience", 2 * time.Second, 2, Out, 2 * time.Second, context.DeadlineExceeded},
			{"until the rules end", time.Minute, 2, Out, 2 * time.Second, nil},
		} {
			if d, err := took(c.patience, c.peer, c.d); d != c.want || !errors.Is(err, c.err) {
				t.Errorf("%s: %v after %v, want %v after %v", c.what, err, d, c.err, c.want)
			}
		}
	})
}

// Whoever waits when a cut takes the place of a delay goes on waiting.
func TestCallMeetsTheRulesThatReplaceOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewInjector(func(Change) {})
		defer i.Close()
		set(t, i, slow(time.Second), time.Minute)
		done := make(chan error, 1)
		go func() { done <- i.Await(t.Context(), 2, Out) }()
		synctest.Wait()
		set(t, i, cutAll, 10*time.Second)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("passed a link that is cut: %v", err)
		default:
		}
		time.Sleep(time.Second)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Whatever becomes of the rules meanwhile, messages of a line that none of them drops arrive once and in order.
func TestOrderSurvivesChangesOfTheRules(t *testing.T) {
	i := NewInjector(func(Change) {})
	const messages = 10_000 // fewer than can be held back, so that none is lost for want of room
	var box mailbox
	arrived := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		for n := range messages {
			deliver := box.put(n)
			if n == messages-1 {
				deliver = func() { box.put(n)(); close(arrived) }
			}
			if i.Active() { // as the transport does
				i.Pass(2, Out, "bulk", 1, deliver)
			} else {
				deliver()
			}
		}
	})
	over := make(chan struct{})
	sending.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-over:
				return
			default:
				r := []Rules{slow(time.Millisecond), {}, slow(time.Microsecond), {Disk: DiskFull}}[n%4]
				if _, err := i.Set(r, time.Minute, anyPeer); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	<-arrived
	close(over)
	sending.Wait()
	i.Close()
	for n, got := range box.got {
		if n != got {
			t.Fatalf("message %d arrived in the place of %d", got, n)
		}
	}
	if len(box.got) != messages {
		t.Errorf("%d of %d messages arrived", len(box.got), messages)
	}
}

func TestNilInjectorHasNoRules(t *testing.T) {
	var i *Injector
	if r, until := i.Rules(); i.Active() || !r.Empty() || !until.IsZero() {
		t.Error("nil has rules")
	}
	if err := i.Await(t.Context(), 1, In); err != nil {
		t.Error(err)
	}
	i.Leave()
	i.Close()
}

func TestNothingHeldCostsNoAllocation(t *testing.T) {
	i := NewInjector(func(Change) {})
	if n := testing.AllocsPerRun(100, func() { _ = i.Active() }); n != 0 {
		t.Errorf("%v allocations to see that there are no rules", n)
	}
}
