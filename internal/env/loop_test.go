package env

import (
	"sync"
	"testing"
	"time"
)

// startOS makes an OS in a temporary directory with its loop running; the test ends with the loop and lanes gone.
func startOS(t testing.TB) (*OS, Env) {
	t.Helper()
	o, err := NewOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var loop sync.WaitGroup
	loop.Go(o.Run)
	t.Cleanup(func() {
		o.Stop()
		loop.Wait()
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o, o.Env()
}

// onLoop runs f on the loop and waits for it.
func onLoop(e Env, f func()) {
	ran := make(chan struct{})
	e.Post(func() { f(); close(ran) })
	<-ran
}

func TestPostKeepsEachPostersOrder(t *testing.T) {
	const posters, each = 8, 2000
	_, e := startOS(t)
	next := make([]int, posters) // no lock: only the loop touches it, which -race checks
	var posting sync.WaitGroup
	for p := range posters {
		posting.Go(func() {
			for i := range each {
				e.Post(func() {
					if next[p] != i {
						t.Errorf("poster %d: function %d ran when %d was due", p, i, next[p])
					}
					next[p]++
				})
			}
		})
	}
	posting.Wait()
	onLoop(e, func() {
		for p, n := range next {
			if n != each {
				t.Errorf("poster %d: %d of %d functions ran", p, n, each)
			}
		}
	})
}

// Everything that arrives during one turn must be in the queue together when the loop turns again: a function posted
// during the turn runs after all of them, not between.
func TestLoopTakesAllThatWaits(t *testing.T) {
	_, e := startOS(t)
	var order []string
	gate := make(chan struct{})
	e.Post(func() { <-gate })
	e.Post(func() {
		order = append(order, "first")
		e.Post(func() { order = append(order, "after the turn") })
	})
	e.Post(func() { order = append(order, "second") })
	close(gate)
	done := make(chan struct{})
	e.Post(func() { e.Post(func() { close(done) }) })
	<-done
	want := []string{"first", "second", "after the turn"}
	if len(order) != len(want) {
		t.Fatalf("ran %q, want %q", order, want)
	}
	for i := range want {
		if order[i] != want[i] {
			t.Fatalf("ran %q, want %q", order, want)
		}
	}
}

func TestStopRunsWhatWasPostedBeforeAndNothingAfter(t *testing.T) {
	o, err := NewOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	e := o.Env()
	var before, after int
	for range 10 {
		e.Post(func() { before++ })
	}
	e.Post(func() { e.Post(func() { after++ }) })
	o.Stop()
	o.Stop()
	e.Post(func() { after++ })
	o.Run()
	if before != 10 || after != 0 {
		t.Fatalf("ran %d functions posted before Stop and %d posted after, want 10 and 0", before, after)
	}
}

func TestPostAllocatesNothingOfItsOwn(t *testing.T) {
	l := newLoop()
	f := func() {}
	l.mail.items = make([]func(), 0, 2048)
	allocs := testing.AllocsPerRun(1000, func() { l.post(f) })
	if allocs != 0 {
		t.Fatalf("post allocates %v times", allocs)
	}
}

func TestStoppedTimerDoesNotRunEvenWhenItHasFired(t *testing.T) {
	_, e := startOS(t)
	ran := false
	onLoop(e, func() {
		fired := make(chan struct{})
		c := &osClock{boot: time.Now(), post: func(f func()) { e.Post(f); close(fired) }}
		stop := c.After(0, func() { ran = true })
		<-fired // the loop is busy here, so the timer's function waits in the queue
		stop()
		stop()
	})
	onLoop(e, func() {
		if ran {
			t.Error("a timer ran after it was stopped on the loop")
		}
	})
}

func TestTimerRunsOnceNotEarlyAndOnTheLoop(t *testing.T) {
	_, e := startOS(t)
	const d = 5 * time.Millisecond
	start := e.Clock.Now()
	fired := make(chan time.Duration, 2)
	onLoop(e, func() {
		var stop func()
		stop = e.Clock.After(d, func() { fired <- e.Clock.Now(); stop() })
	})
	if at := <-fired; at-start < d {
		t.Fatalf("a timer of %s ran after %s", d, at-start)
	}
	onLoop(e, func() {
		if len(fired) != 0 {
			t.Error("a timer ran twice")
		}
	})
}

func TestLaneRunsInOrderAndCompletesOnTheLoop(t *testing.T) {
	const jobs = 3000
	_, e := startOS(t)
	lane := e.Lane("wal")
	if e.Lane("wal") != lane {
		t.Fatal("two lanes under one name")
	}
	if e.Lane("apply") == lane {
		t.Fatal("one lane under two names")
	}
	working, completed := 0, 0 // unlocked: -race proves that each belongs to one goroutine
	done := make(chan struct{})
	for i := range jobs {
		lane.Do(func() error {
			if working != i {
				t.Errorf("job %d ran when %d was due", i, working)
			}
			working++
			if i%2 == 1 {
				return ErrNoSpace
			}
			return nil
		}, func(err error) {
			if completed != i || (err == ErrNoSpace) != (i%2 == 1) {
				t.Errorf("completion %d with error %v when %d was due", i, err, completed)
			}
			if completed++; completed == jobs {
				close(done)
			}
		})
	}
	<-done
}

func TestLanesDoNotWaitForEachOther(t *testing.T) {
	_, e := startOS(t)
	release, done := make(chan struct{}), make(chan struct{})
	stuck := make(chan struct{})
	e.Lane("snap").Do(func() error { <-release; return nil }, func(error) { close(stuck) })
	e.Lane("wal").Do(func() error { return nil }, func(error) { close(done) })
	<-done
	close(release)
	<-stuck
}

func TestJobsRunTogether(t *testing.T) {
	_, e := startOS(t)
	there, back := make(chan int), make(chan int)
	ended := 0
	e.Together(
		func() { there <- 1; ended += <-back }, // which ends only while the other runs
		func() { back <- 1 + <-there },
	)
	if ended != 2 {
		t.Errorf("a job had ended with %d, want 2", ended)
	}
}

func TestCloseFinishesQueuedJobs(t *testing.T) {
	o, err := NewOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	lane, ran := o.Env().Lane("wal"), 0
	lane.Do(func() error { <-release; return nil }, nil)
	for range 100 {
		lane.Do(func() error { ran++; return nil }, func(error) {})
	}
	close(release)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	lane.Do(func() error { ran++; return nil }, nil)
	o.Env().Lane("late").Do(func() error { ran++; return nil }, nil)
	if ran != 100 {
		t.Fatalf("%d jobs ran, want the 100 queued before Close", ran)
	}
}

func BenchmarkPost(b *testing.B) {
	_, e := startOS(b)
	f := func() {}
	for b.Loop() {
		e.Post(f)
	}
	onLoop(e, func() {})
}

func BenchmarkPostRoundTrip(b *testing.B) {
	_, e := startOS(b)
	back := make(chan struct{}, 1)
	f := func() { back <- struct{}{} }
	for b.Loop() {
		e.Post(f)
		<-back
	}
}

func BenchmarkLaneRoundTrip(b *testing.B) {
	_, e := startOS(b)
	lane, back := e.Lane("wal"), make(chan struct{}, 1)
	work, done := func() error { return nil }, func(error) { back <- struct{}{} }
	for b.Loop() {
		lane.Do(work, done)
		<-back
	}
}
