package report

import (
	"strconv"
	"time"
)

// rowsOfTimeline is how many rows the picture's table has at most.
const rowsOfTimeline = 60

// row is a row of that table, in words.
type row struct{ Begin, Writes, Reads, Errors, P50, P99 string }

// Rows are the columns of the picture as rows.
func (s series) Rows() []row {
	rows := make([]row, len(s.columns))
	for i, c := range s.columns {
		begin := strconv.FormatFloat(c.begin.Seconds(), 'f', 1, 64)
		rows[i] = row{begin, Whole(c.writes), Whole(c.reads), Whole(c.errors), "no answer", ""}
		if c.p99 > 0 {
			rows[i].P50, rows[i].P99 = span(c.p50), span(c.p99)
		}
	}
	return rows
}

// mostReigns is how many changes of leader the page lists.
const mostReigns = 200

// FirstReigns are the reigns that the page lists.
func (p page) FirstReigns() []Reign {
	return p.Timeline.Leaders[:min(len(p.Timeline.Leaders), mostReigns)]
}

// gapsOf are the gaps of a side, summed up.
type gapsOf struct {
	Member            string
	Count             int
	Longest, Together time.Duration
}

// Gaps are the gaps of all sides.
func (p page) Gaps() []gapsOf {
	var all []gapsOf
	for _, s := range p.Timeline.Sides {
		g := gapsOf{Member: s.Member, Count: len(s.Gaps)}
		for _, gap := range s.Gaps {
			g.Longest = max(g.Longest, gap.End-gap.Begin)
			g.Together += gap.End - gap.Begin
		}
		all = append(all, g)
	}
	return all
}

// Since is how long the fault of a round was on.
func (p page) Since(r Round) time.Duration { return r.Healed - r.Begin }

// GapShare is the gap of a round in percent of the longest, for a bar.
func (p page) GapShare(r Round) string {
	longest := time.Duration(1)
	for _, other := range p.Rounds {
		longest = max(longest, other.Gap)
	}
	return strconv.FormatFloat(100*float64(max(r.Gap, 0))/float64(longest), 'f', 1, 64)
}
