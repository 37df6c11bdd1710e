package report

import "time"

// series are a timeline's steps merged into columns, few enough to draw. All columns are equally long but the last.
type series struct {
	step    time.Duration // of the timeline
	width   time.Duration // of a column, a whole number of steps
	columns []column
	sides   []sideSeries
}

// column is a piece of the drill. Rates are per second.
type column struct {
	begin, end  time.Duration
	writes      float64
	reads       float64
	errors      float64
	least, most float64 // writes of the quietest and the busiest step
	// A percentile cannot be merged: p50 is the mean of the steps', p99 the worst of them. 0: there was no answer.
	p50, p99 time.Duration
}

// sideSeries are the errors per second and the acknowledged requests per second at one member.
type sideSeries struct{ ok, errors []float64 }

// merge makes at most so many columns of a timeline.
func merge(t Timeline, most int) series {
	steps := len(t.Points)
	for _, s := range t.Sides {
		steps = max(steps, len(s.OK), len(s.Errors))
	}
	if steps == 0 || t.Step <= 0 {
		return series{}
	}
	each := (steps + most - 1) / most
	s := series{step: t.Step, width: time.Duration(each) * t.Step}
	for from := 0; from < steps; from += each {
		to := min(from+each, steps)
		s.columns = append(s.columns, mergeSteps(t, from, to))
	}
	for _, side := range t.Sides {
		s.sides = append(s.sides, sideSeries{rates(side.OK, t.Step, steps, each), rates(side.Errors, t.Step, steps, each)})
	}
	return s
}

func mergeSteps(t Timeline, from, to int) column {
	c := column{begin: time.Duration(from) * t.Step, end: time.Duration(to) * t.Step}
	var p50 time.Duration
	answered := 0
	for i := from; i < min(to, len(t.Points)); i++ {
		p := t.Points[i]
		rate := float64(p.Writes) / t.Step.Seconds()
		if i == from {
			c.least = rate
		}
		c.least, c.most = min(c.least, rate), max(c.most, rate)
		c.writes += float64(p.Writes)
		c.reads += float64(p.Reads)
		c.errors += float64(p.Errors)
		if p.P50 > 0 || p.P99 > 0 {
			p50 += p.P50
			answered++
			c.p99 = max(c.p99, p.P99, p.P50)
		}
	}
	length := (c.end - c.begin).Seconds()
	c.writes, c.reads, c.errors = c.writes/length, c.reads/length, c.errors/length
	if answered > 0 {
		c.p50 = p50 / time.Duration(answered)
	}
	return c
}

func rates(counts []int, step time.Duration, steps, each int) []float64 {
	var merged []float64
	for from := 0; from < steps; from += each {
		to := min(from+each, steps)
		sum := 0
		for i := from; i < min(to, len(counts)); i++ {
			sum += counts[i]
		}
		merged = append(merged, float64(sum)/(time.Duration(to-from)*step).Seconds())
	}
	return merged
}

func (s series) end() time.Duration {
	if len(s.columns) == 0 {
		return 0
	}
	return s.columns[len(s.columns)-1].end
}

// merged is how long the columns are if they are longer than the steps, or else 0.
func (s series) merged() time.Duration {
	if s.width > s.step {
		return s.width
	}
	return 0
}

// busiest is the highest rate of reads or of writes.
func (s series) busiest() float64 {
	most := 0.0
	for _, c := range s.columns {
		most = max(most, c.most, c.reads)
	}
	return most
}

// latencies are the lowest and the highest that there are, 0 without any.
func (s series) latencies() (low, high time.Duration) {
	for _, c := range s.columns {
		for _, d := range []time.Duration{c.p50, c.p99} {
			if d > 0 && (low == 0 || d < low) {
				low = d
			}
			high = max(high, d)
		}
	}
	return low, high
}
