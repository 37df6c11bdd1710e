package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

const trials = 300

// seeded runs a test with many seeds, each of which its failure names.
func seeded(t *testing.T, test func(t *testing.T, random *rand.Rand)) {
	for seed := range uint64(trials) {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { test(t, rand.New(rand.NewPCG(seed, 1))) }) {
			t.Fatalf("repeat with: go test ./internal/drill/report -run '%s/^%d$'", t.Name(), seed)
		}
	}
}

// TestMergeLosesNothing: columns have the operations of their steps, and the worst of their latencies.
func TestMergeLosesNothing(t *testing.T) {
	seeded(t, func(t *testing.T, random *rand.Rand) {
		tl := Timeline{Step: time.Duration(1+random.IntN(1000)) * time.Millisecond, Sides: []Side{{}}}
		var writes, reads, errors, side float64
		var worst time.Duration
		for range 1 + random.IntN(2000) {
			p := Point{Writes: random.IntN(100), Reads: random.IntN(100), Errors: random.IntN(3), P99: time.Duration(random.IntN(1e9))}
			tl.Points = append(tl.Points, p)
			writes, reads, errors, worst = writes+float64(p.Writes), reads+float64(p.Reads), errors+float64(p.Errors), max(worst, p.P99)
			if random.IntN(3) > 0 { // a side may know less
				n := random.IntN(9)
				tl.Sides[0].Errors = append(tl.Sides[0].Errors, n)
				side += float64(n)
			}
		}
		most := 1 + random.IntN(500)
		s := merge(tl, most)
		if len(s.columns) > most {
			t.Fatalf("%d columns, want %d at most", len(s.columns), most)
		}
		if want := time.Duration(len(tl.Points)) * tl.Step; s.end() != want {
			t.Fatalf("the columns end at %v, want %v", s.end(), want)
		}
		var highest time.Duration
		at := time.Duration(0)
		for i, c := range s.columns {
			if c.begin != at || c.end <= c.begin {
				t.Fatalf("column %d is from %v to %v, the one before it ends at %v", i, c.begin, c.end, at)
			}
			if c.least > c.writes+1e-6 || c.most < c.writes-1e-6 {
				t.Fatalf("column %d: %v writes are not between %v and %v", i, c.writes, c.least, c.most)
			}
			at = c.end
			length := (c.end - c.begin).Seconds()
			writes -= c.writes * length
			reads -= c.reads * length
			errors -= c.errors * length
			side -= s.sides[0].errors[i] * length
			highest = max(highest, c.p99)
		}
		if math.Abs(writes)+math.Abs(reads)+math.Abs(errors)+math.Abs(side) > 1e-3 {
			t.Errorf("lost %v writes, %v reads, %v errors, %v errors of a side", writes, reads, errors, side)
		}
		if highest != worst {
			t.Errorf("the worst p99 is %v, want %v", highest, worst)
		}
	})
}

// TestLabelsOfFaultsDoNotMeet, whatever the faults are.
func TestLabelsOfFaultsDoNotMeet(t *testing.T) {
	seeded(t, func(t *testing.T, random *rand.Rand) {
		end := time.Duration(1+random.IntN(1000)) * time.Second
		var faults []history.Fault
		for i := range random.IntN(12) {
			at := time.Duration(random.Int64N(int64(end)))
			faults = append(faults, history.Fault{
				At: at, Until: at + time.Duration(random.Int64N(int64(end))), Round: i / 2,
				Members: []string{fmt.Sprintf("n%d", random.IntN(5))}, What: "cut off from the others"[:random.IntN(23)],
			})
		}
		x := scale{high: end.Seconds(), start: 50, stop: 50 + float64(100+random.IntN(1000))}
		ws, numbered := windows(faults, x, end, 3)
		for i, w := range ws {
			if w.Begin < 0 || w.End > end || w.Begin > w.End {
				t.Errorf("window %v in a drill of %v", w.Span, end)
			}
			if w.label == "" && !numbered {
				t.Errorf("window %d has no label", i)
			}
			for _, o := range ws[:i] {
				if w.label != "" && o.label != "" && w.lane == o.lane && w.x < o.x+textWidth(o.label) && o.x < w.x+textWidth(w.label) {
					t.Errorf("%q at %v and %q at %v meet in lane %d", w.label, w.x, o.label, o.x, w.lane)
				}
			}
		}
	})
}

// TestBrokenAxisKeepsTheOrder: a later time is never further left, and operations that overlap do so in the picture.
func TestBrokenAxisKeepsTheOrder(t *testing.T) {
	seeded(t, func(t *testing.T, random *rand.Rand) {
		var ops []history.Op
		for range 1 + random.IntN(50) {
			begin := time.Duration(random.IntN(100)) * time.Duration(random.IntN(1e9))
			ops = append(ops, history.Op{Begin: begin, End: begin + time.Duration(random.IntN(1e8))})
		}
		a := newBrokenAxis(ops, 60, 350)
		for _, p := range ops {
			for _, q := range ops {
				if p.Begin < q.End && a.at(p.Begin) > a.at(q.End)+1e-6 {
					t.Fatalf("%v is at %v, right of %v at %v", p.Begin, a.at(p.Begin), q.End, a.at(q.End))
				}
			}
			if from, to := a.interval(p); from < 60-1e-6 || to > 350+1e-6 || from >= to {
				t.Fatalf("%v to %v is drawn from %v to %v", p.Begin, p.End, from, to)
			}
		}
	})
}

func TestTicks(t *testing.T) {
	seeded(t, func(t *testing.T, random *rand.Rand) {
		end := time.Duration(math.Pow(10, 5+random.Float64()*12))
		most := 3 + random.IntN(10)
		ticks := timeTicks(end, most)
		if len(ticks) > most+1 || len(ticks) < 2 && end > time.Millisecond {
			t.Errorf("%d ticks for %v, want 2 to %d", len(ticks), end, most+1)
		}
		seen := map[string]bool{}
		for _, k := range ticks {
			if seen[k.label] {
				t.Errorf("two ticks of %v say %q", end, k.label)
			}
			seen[k.label] = true
		}
		busiest := math.Pow(10, random.Float64()*7-1)
		counts := countTicks(busiest)
		if last := counts[len(counts)-1].value; last < busiest || len(counts) > 5 {
			t.Errorf("%d ticks up to %v for %v", len(counts), last, busiest)
		}
		low := math.Pow(10, random.Float64()*6-6)
		high := low * math.Pow(10, random.Float64()*5)
		from, to := niceFloor(low), niceCeil(high)
		if from > low || to < high {
			t.Errorf("%v to %v do not lie between %v and %v", low, high, from, to)
		}
		if n := len(latencyTicks(from, to)); n < 2 || n > 7 {
			t.Errorf("%d ticks for latencies of %v to %v s", n, from, to)
		}
	})
}

func TestWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{span(0), "0 s"},
		{span(240 * time.Microsecond), "0.24 ms"},
		{span(2100 * time.Microsecond), "2.10 ms"},
		{span(412 * time.Millisecond), "412 ms"},
		{span(1310 * time.Millisecond), "1.31 s"},
		{span(65 * time.Second), "65.0 s"},
		{span(192 * time.Second), "3 min 12 s"},
		{span(2*time.Hour + 5*time.Minute), "2 h 5 min"},
		{Whole(7), "7"},
		{Whole(1234567), "1,234,567"},
		{Whole(-1234), "-1,234"},
		{short("abcdefghij", 10), "abcdefghij"},
		{short("abcdefghijk", 10), "abcdef…ijk"},
		{Visible("a\x1b[2J\u202eb"), `a\x1b[2J\u202eb`},
		{keyPrefix(history.Violation{Ops: []history.Op{{Key: "d/x/k1"}, {Key: "d/x/k2"}}}), "d/x/"},
		{keyPrefix(history.Violation{Ops: []history.Op{{Key: "a"}}, Events: []history.Event{{Key: "b"}}}), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
