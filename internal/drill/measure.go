package drill

import (
	"fmt"
	"slices"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// measured is a history with its rounds, for the pass marks.
type measured struct {
	*run
	h *history.History
}

// gap is the longest time without an acknowledged write on some members, between two points in time.
func (m *measured) gap(members []int, from, to time.Duration) time.Duration {
	names := m.some(members)
	longest, last := time.Duration(0), from
	for i := range m.h.Ops { // by End
		op := &m.h.Ops[i]
		if op.End <= from || op.End > to || op.Outcome != history.OK || !op.Kind.Writes() || !slices.Contains(names, op.Member) {
			continue
		}
		longest, last = max(longest, op.End-last), op.End
	}
	return max(longest, to-last)
}

// end is when the cluster was well again after a round, or the load ended.
func (m *measured) end(s struck) time.Duration {
	if s.well > 0 {
		return s.well
	}
	if n := len(m.h.Ops); n > 0 {
		return m.h.Ops[n-1].End
	}
	return s.begin
}

// gaps are those of the members that were not struck, in each round of a kind ("": all).
func (m *measured) gaps(kind string) (gaps []time.Duration) {
	for _, s := range m.rounds {
		if kind == "" || s.kind == kind {
			gaps = append(gaps, m.gap(m.others(s.whom...), s.begin, m.end(s)))
		}
	}
	return gaps
}

// count is how many requests of some members meet a condition that began after a fault was in full effect and ended before it was
// healed.
func (m *measured) count(s struck, members []int, wanted func(*history.Op) bool) (n int) {
	names := m.some(members)
	for i := range m.h.Ops {
		op := &m.h.Ops[i]
		if op.Begin >= s.struckAt && op.End <= m.healing(s) && slices.Contains(names, op.Member) && wanted(op) {
			n++
		}
	}
	return n
}

func (m *measured) healing(s struck) time.Duration {
	if s.healing > 0 {
		return s.healing
	}
	return m.end(s)
}

// served is the share of requests that were answered, and how many there were.
func (m *measured) served(s struck, members []int, kinds ...history.Kind) (share float64, all int) {
	all = m.count(s, members, func(o *history.Op) bool { return slices.Contains(kinds, o.Kind) })
	ok := m.count(s, members, func(o *history.Op) bool { return slices.Contains(kinds, o.Kind) && o.Outcome == history.OK })
	if all == 0 {
		return 0, 0
	}
	return float64(ok) / float64(all), all
}

// newLeader is how long it took until another member led, -1 when none did before the heal.
func (m *measured) newLeader(s struck) time.Duration {
	for _, p := range m.h.Polls {
		if p.At > s.struckAt && p.ID != 0 && p.Leader == p.ID && !slices.Contains(m.some(s.whom), p.Member) {
			return p.At - s.struckAt
		}
	}
	return -1
}

// leaderChanges counts how often the leader became another between two points in time, as members that lead say.
func (m *measured) leaderChanges(from, to time.Duration) (n int) {
	var leader, term uint64
	for _, p := range m.h.Polls {
		if p.ID == 0 || p.Leader != p.ID || p.Term < term || p.At > to {
			continue
		}
		if leader != 0 && p.ID != leader && p.At > from {
			n++
		}
		leader, term = p.ID, p.Term
	}
	return n
}

// rate is the number of writes acknowledged by some members in a second.
func (m *measured) rate(members []int, from, to time.Duration) float64 {
	names, n := m.some(members), 0
	for i := range m.h.Ops {
		op := &m.h.Ops[i]
		if op.End > from && op.End <= to && op.Outcome == history.OK && op.Kind.Writes() && slices.Contains(names, op.Member) {
			n++
		}
	}
	return float64(n) / max(to-from, time.Millisecond).Seconds()
}

// percentile of durations, the higher one in doubt; 0 for none.
func percentile(ds []time.Duration, p int) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	ds = slices.Sorted(slices.Values(ds))
	return ds[min(len(ds)-1, len(ds)*p/100)]
}

// atMost is a mark that a duration keeps when it is not longer.
func atMost(name string, value, bound time.Duration, why string) report.Mark {
	return report.Mark{Name: name, Value: short(value), Bound: "<= " + short(bound), Kept: value >= 0 && value <= bound, Why: why}
}

// none is a mark that a number keeps when it is zero.
func none(name string, n int, why string) report.Mark {
	return report.Mark{Name: name, Value: fmt.Sprint(n), Bound: "0", Kept: n == 0, Why: why}
}

// share is a mark that a share keeps when it is not smaller, and of something.
func share(name string, value float64, of int, bound float64, why string) report.Mark {
	return report.Mark{
		Name: name, Value: fmt.Sprintf("%.1f %% of %d", 100*value, of), Bound: fmt.Sprintf(">= %g %%", 100*bound),
		Kept: of > 0 && value >= bound, Why: why,
	}
}

// short is a duration as people read it.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "never"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond)/time.Millisecond)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
