package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// brokenAxis is an axis of time without the long times in which no operation of a violation was under way: operations
// take milliseconds, and those that belong together may be minutes apart.
type brokenAxis struct {
	pieces      []Span // busy times, in order
	start, stop float64
	perSecond   float64
}

func newBrokenAxis(ops []history.Op, start, stop float64) brokenAxis {
	spans := make([]Span, len(ops))
	for i, op := range ops {
		spans[i] = Span{op.Begin, max(op.Begin, op.End)}
	}
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.Begin, b.Begin) })
	busy := busyTimes(spans, 0)
	var total time.Duration
	for _, s := range busy {
		total += s.End - s.Begin
	}
	// Idle times stay as they are if they take less room than a break would.
	const mostBreaks = 6
	limit := max(total/8, time.Millisecond)
	busy = busyTimes(busy, limit)
	for len(busy) > mostBreaks+1 {
		limit *= 2
		busy = busyTimes(busy, limit)
	}
	total = 0
	for _, s := range busy {
		total += s.End - s.Begin
	}
	a := brokenAxis{pieces: busy, start: start, stop: stop}
	room := stop - start - breakWidth*float64(len(busy)-1)
	a.perSecond = room / max(total, time.Microsecond).Seconds()
	return a
}

// busyTimes joins spans, sorted by their begin, that are not more than idle apart.
func busyTimes(spans []Span, idle time.Duration) []Span {
	var busy []Span
	for _, s := range spans {
		if n := len(busy); n > 0 && s.Begin-busy[n-1].End <= idle {
			busy[n-1].End = max(busy[n-1].End, s.End)
			continue
		}
		busy = append(busy, s)
	}
	return busy
}

// at is where a time lies; one within a break lies at its end.
func (a brokenAxis) at(t time.Duration) float64 {
	x := a.start
	for i, p := range a.pieces {
		if i > 0 {
			x += breakWidth
		}
		if t <= p.End {
			return min(a.stop, x+max(0, t-p.Begin).Seconds()*a.perSecond)
		}
		x += (p.End - p.Begin).Seconds() * a.perSecond
	}
	return min(a.stop, x)
}

// interval is where an operation lies: never too short to be seen.
func (a brokenAxis) interval(op history.Op) (from, to float64) {
	const shortest = 4
	from, to = a.at(op.Begin), a.at(op.End)
	if to-from < shortest {
		from = min(from, a.stop-shortest)
		to = from + shortest
	}
	return from, to
}
