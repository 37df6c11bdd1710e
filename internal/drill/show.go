package drill

import (
	"fmt"
	"sync"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/load"
)

const (
	showEvery = 250 * time.Millisecond
	// rateOver is the time over which rates are counted.
	rateOver = time.Second
)

// show tells the observer how the drill goes.
type show struct {
	run *run
	obs Observer

	mu      sync.Mutex
	now     Progress // what does not follow from the recorder
	past    []sample // of the last second and a bit, oldest first
	leads   int      // member, -1 for none
	term    uint64
	longest time.Duration
	frozen  bool          // the load has ended: a gap is none any more
	stop    chan struct{} // closed by close; nil until begin
	done    sync.WaitGroup
}

type sample struct {
	at time.Duration
	load.Totals
}

func newShow(r *run, obs Observer) *show {
	return &show{run: r, obs: obs, leads: -1, now: Progress{Rounds: r.options.Rounds, Expected: r.expected()}}
}

// begin starts to watch the recorder.
func (s *show) begin() {
	s.stop = make(chan struct{})
	s.done.Go(func() {
		t := time.NewTicker(showEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				s.update("")
			case <-s.stop:
				return
			}
		}
	})
}

func (s *show) close() {
	if s.stop != nil {
		close(s.stop)
		s.done.Wait()
		s.stop = nil
	}
}

// loadEnds says that from now on no write is expected.
func (s *show) loadEnds() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = true
}

func (s *show) phase(what string) {
	s.change(func(p *Progress) { p.Phase = what }, "")
}

func (s *show) round(n int) {
	s.change(func(p *Progress) { p.Round, p.Phase = n, fmt.Sprintf("round %d of %d", n, p.Rounds) }, "")
}

func (s *show) fault(what string, members []string) {
	s.change(func(p *Progress) { p.Fault, p.Struck = what, members }, "")
}

// say is news.
func (s *show) say(format string, args ...any) { s.update(fmt.Sprintf(format, args...)) }

func (s *show) change(f func(*Progress), line string) {
	s.mu.Lock()
	f(&s.now)
	s.mu.Unlock()
	s.update(line)
}

// update looks at the recorder and tells the observer, who hears one call at a time.
func (s *show) update(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.now
	p.Line = line
	if s.run.rec == nil {
		p.Elapsed = time.Since(s.run.started)
		s.obs.Observe(p)
		return
	}
	now, totals := s.run.rec.Now(), s.run.rec.Totals()
	s.past = append(s.past, sample{now, totals})
	for len(s.past) > 1 && s.past[1].at <= now-rateOver {
		s.past = s.past[1:]
	}
	old := s.past[0]
	rate := func(new, old int) int {
		if d := now - s.past[0].at; d > 0 {
			return int(float64(new-old)*float64(time.Second)/float64(d) + 0.5)
		}
		return 0
	}
	p.Elapsed = now
	p.WritesPerSecond, p.ReadsPerSecond = rate(totals.Writes, old.Writes), rate(totals.Reads, old.Reads)
	p.ErrorsPerSecond = rate(totals.Errors, old.Errors)
	if totals.LastWrite > 0 && !s.frozen {
		s.longest = max(s.longest, now-totals.LastWrite)
	}
	p.LongestGap = s.longest
	looks := s.run.rec.Look()
	leads := s.run.leads(-1)
	for i, m := range s.run.members {
		t, before := totals.Members[m.Name], old.Members[m.Name]
		look := looks[m.Name]
		p.Members = append(p.Members, MemberProgress{
			Name: m.Name, OKPerSecond: rate(t.OK, before.OK), ErrorsPerSecond: rate(t.Errors, before.Errors),
			Reachable: look.Member != "" && look.Error == "", Leads: i == leads,
		})
	}
	if leads >= 0 {
		p.Leader, p.Term = s.run.members[leads].Name, looks[s.run.members[leads].Name].Term
	}
	if s.run.live.violation() != nil {
		p.Violations = 1
	}
	if line == "" && leads >= 0 && (leads != s.leads || p.Term != s.term) {
		p.Line = fmt.Sprintf("%s leads in term %d", p.Leader, p.Term)
	}
	if leads >= 0 {
		s.leads, s.term = leads, p.Term
	}
	s.obs.Observe(p)
}
