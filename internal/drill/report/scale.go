package report

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// scale places values between two edges of the picture, in its units; values beyond either end are placed at that end.
type scale struct {
	low, high   float64 // values
	start, stop float64 // places of low and high
	log         bool
}

func (s scale) at(v float64) float64 {
	low, high := s.low, s.high
	if s.log {
		v, low, high = math.Log10(math.Max(v, s.low)), math.Log10(low), math.Log10(high)
	}
	if high <= low {
		return s.start
	}
	share := math.Max(0, math.Min(1, (v-low)/(high-low)))
	return s.start + share*(s.stop-s.start)
}

func (s scale) time(d time.Duration) float64 { return s.at(d.Seconds()) }

// tick is a mark on an axis.
type tick struct {
	value float64
	label string
}

// countTicks are round numbers from 0 to the first at or above most; the last of them is the axis's end.
func countTicks(most float64) []tick {
	step := niceCeil(math.Max(most, 1) / 3)
	if step < 1 {
		step = 1
	}
	ticks := []tick{{0, "0"}}
	for v := step; ; v += step {
		ticks = append(ticks, tick{v, Whole(v)})
		if v >= most {
			return ticks
		}
	}
}

// niceCeil is the smallest of 1, 2, 5, 10, 20, ... and of their tenths and so on that is not below v.
func niceCeil(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if f*unit >= v*(1-1e-9) {
			return f * unit
		}
	}
	return 10 * unit
}

// niceFloor is the largest of them that is below v.
func niceFloor(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{5, 2, 1} {
		if f*unit < v*(1-1e-9) {
			return f * unit
		}
	}
	return unit / 2
}

// latencyTicks are the powers of ten from low to high, in seconds; where these are few, twice and five times each as well.
func latencyTicks(low, high float64) []tick {
	factors := []float64{1}
	if high/low < 30 {
		factors = []float64{1, 2, 5}
	}
	var ticks []tick
	for e := math.Floor(math.Log10(low)); math.Pow(10, e) <= high*(1+1e-9); e++ {
		for _, f := range factors {
			if v := f * math.Pow(10, e); v >= low*(1-1e-9) && v <= high*(1+1e-9) {
				ticks = append(ticks, tick{v, latencyLabel(f, int(e))})
			}
		}
	}
	return ticks
}

// latencyLabel writes factor times a power of ten seconds.
func latencyLabel(factor float64, exponent int) string {
	units := []struct {
		exponent int
		name     string
	}{{0, "s"}, {-3, "ms"}, {-6, "µs"}, {-9, "ns"}}
	for _, u := range units {
		if exponent >= u.exponent {
			return Whole(factor*math.Pow(10, float64(exponent-u.exponent))) + " " + u.name
		}
	}
	return "0"
}

// timeTicks are round times from 0 to end, at most as many as asked for and the one at 0.
func timeTicks(end time.Duration, most int) []tick {
	const day = 24 * time.Hour
	step := (end/time.Duration(most)/day + 1) * day
	for _, s := range []time.Duration{
		time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond,
		50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if end <= s*time.Duration(most) {
			step = s
			break
		}
	}
	var ticks []tick
	for t := time.Duration(0); t <= end; t += step {
		ticks = append(ticks, tick{t.Seconds(), clock(t, end)})
	}
	return ticks
}

// clock writes a time on an axis that ends at end.
func clock(t, end time.Duration) string {
	switch {
	case t == 0:
		return "0"
	case end < time.Second:
		return strconv.FormatInt(t.Milliseconds(), 10) + " ms"
	case end < 2*time.Minute:
		return strconv.FormatFloat(t.Seconds(), 'f', -1, 64) + " s"
	case end < time.Hour:
		return fmt.Sprintf("%d:%02d", int(t.Minutes()), int(t.Seconds())%60)
	default:
		return fmt.Sprintf("%d:%02d:%02d", int(t.Hours()), int(t.Minutes())%60, int(t.Seconds())%60)
	}
}
