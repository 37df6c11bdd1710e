package drill

import (
	"slices"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

const (
	// timelineSteps is about how many steps a picture has.
	timelineSteps = 400
	shortestStep  = 100 * time.Millisecond
	// gapShown is the shortest time without an acknowledged write that is called a gap.
	gapShown = 500 * time.Millisecond
)

// timeline cuts a history that lasted so long into steps.
func timeline(h *history.History, length time.Duration) report.Timeline {
	step := max(shortestStep, (length / timelineSteps).Round(50*time.Millisecond))
	n := int((length + step - 1) / step)
	t := report.Timeline{Step: step, Points: make([]report.Point, n), Faults: h.Faults, Leaders: reigns(h, length)}
	sides := map[string]*report.Side{}
	for _, name := range h.Members {
		sides[name] = &report.Side{Member: name, OK: make([]int, n), Errors: make([]int, n)}
	}
	latencies := make([][]time.Duration, n)
	lastWrite := map[string]time.Duration{}
	for i := range h.Ops {
		op := &h.Ops[i]
		at := min(int(op.End/step), n-1)
		p, side := &t.Points[at], sides[op.Member]
		if op.Outcome != history.OK {
			p.Errors++
			side.Errors[at]++
			continue
		}
		side.OK[at]++
		latencies[at] = append(latencies[at], op.End-op.Begin)
		if !op.Kind.Writes() {
			p.Reads++
			continue
		}
		p.Writes++
		if from := lastWrite[op.Member]; op.End-from >= gapShown {
			side.Gaps = append(side.Gaps, report.Span{Begin: from, End: op.End})
		}
		lastWrite[op.Member] = op.End
	}
	for i, l := range latencies {
		t.Points[i].P50, t.Points[i].P99 = percentile(l, 50), percentile(l, 99)
	}
	for _, name := range h.Members {
		t.Sides = append(t.Sides, *sides[name])
	}
	return t
}

// reigns follows who led, as far as members that lead said, and those that follow agree.
func reigns(h *history.History, length time.Duration) (all []report.Reign) {
	const silence = 700 * time.Millisecond // without a leader's word nobody is known to lead
	last := time.Duration(0)
	add := func(leader string, term uint64, at time.Duration) {
		if n := len(all); n > 0 {
			if all[n-1].Leader == leader && all[n-1].Term == term {
				return
			}
			all[n-1].End = at
		}
		all = append(all, report.Reign{Leader: leader, Term: term, Span: report.Span{Begin: at, End: length}})
	}
	term := uint64(0)
	polls := slices.SortedStableFunc(slices.Values(h.Polls), func(a, b history.Poll) int { return int(a.At - b.At) })
	for _, p := range polls {
		if last > 0 && p.At-last > silence {
			add("", term, last)
		}
		if p.ID == 0 || p.Leader != p.ID || p.Term < term {
			continue
		}
		term, last = p.Term, p.At
		add(p.Member, p.Term, p.At)
	}
	return all
}
