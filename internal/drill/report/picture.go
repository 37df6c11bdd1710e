package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
	"time"
)

// frame is a size in which the pictures are drawn. They are drawn for a wide and for a narrow page, at the size at which
// they are seen, so that text is never too small to read and the page's style sheet shows the one that fits.
type frame struct {
	name        string
	width       float64
	left, right float64 // margins of the plots
	columns     int
	ticks       int // of time
	lanes       int // for labels of faults
}

var frames = []frame{
	{name: "wide", width: 1080, left: 58, right: 14, columns: 440, ticks: 12, lanes: 3},
	{name: "narrow", width: 358, left: 46, right: 8, columns: 150, ticks: 5, lanes: 3},
}

// Heights of the picture's parts.
const (
	laneHeight   = 18
	titleHeight  = 12 // from a panel's title to its plot
	plotHeight   = 104
	reignHeight  = 22
	sideHeight   = 34
	panelSpacing = 26
	axisHeight   = 34
)

// picture is the timeline while it is drawn, from top to bottom. What faults shade lies behind everything and is known
// only when the height is: it goes to back.
type picture struct {
	canvas
	back     canvas
	report   *Report
	frame    frame
	members  members
	series   series
	x        scale
	end      time.Duration
	faults   []window
	numbered bool // faults have numbers of rounds instead of words
	y        float64
}

// draw draws the timeline; nil when there is nothing that it could show.
func (r *Report) draw(f frame) *picture {
	t := r.Timeline
	s := merge(t, f.columns)
	end := s.end()
	if end == 0 {
		end = r.Duration
	}
	if end <= 0 || len(s.columns)+len(t.Leaders)+len(t.Faults) == 0 {
		return nil
	}
	p := &picture{report: r, frame: f, members: r.members(), series: s, end: end}
	p.x = scale{low: 0, high: end.Seconds(), start: f.left, stop: f.width - f.right}
	p.faults, p.numbered = windows(t.Faults, p.x, end, f.lanes)
	p.labels()
	top := p.y
	p.throughput()
	p.latency()
	p.reigns(t.Leaders)
	p.endpoints(t.Sides)
	p.shade(top)
	p.axis(top)
	p.readouts(top, t.Leaders)
	return p
}

func (p *picture) svg() template.HTML {
	var out canvas
	name := p.frame.name
	out.mark(`<svg class="timeline `, name, `" role="img" aria-labelledby="`, name, `-title `, name, `-desc" viewBox="0 0 `,
		px(p.frame.width), " ", px(p.y+axisHeight), `" xmlns="http://www.w3.org/2000/svg"><title id="`, name, `-title">`,
		html.EscapeString("Timeline of the drill "+Visible(p.report.Scenario)), `</title><desc id="`, name, `-desc">`,
		html.EscapeString(p.report.describe(p.end)), `</desc>`, p.back.String(), p.String(), `</svg>`)
	return template.HTML(out.String())
}

// describe says in words what the picture shows, for those who do not see it.
func (r *Report) describe(end time.Duration) string {
	return fmt.Sprintf("%s on one axis of time: throughput, latency, leader and term, and errors at %s. %s. "+
		"The same figures are in the table below the picture.", span(end),
		Several(len(r.Timeline.Sides), "member", "members"), Several(len(r.Timeline.Faults), "fault", "faults"))
}

// labels says what was done when, in lanes above the panels.
func (p *picture) labels() {
	lanes := 0
	for _, w := range p.faults {
		lanes = max(lanes, w.lane+1)
	}
	for _, w := range p.faults {
		from, to := p.interval(w.Span)
		y := float64(w.lane) * laneHeight
		p.rect("fault-bar", from, y+14, to-from, 2)
		if w.label != "" {
			p.text("fault-label", "start", w.x, y+11, w.label)
		}
	}
	p.y = float64(lanes)*laneHeight + 4
}

// interval is where a piece of time lies: never too thin to be seen.
func (p *picture) interval(s Span) (from, to float64) {
	const thinnest = 1.5
	from, to = p.x.time(s.Begin), p.x.time(s.End)
	if to-from < thinnest {
		from = math.Min(from, p.x.stop-thinnest)
		to = from + thinnest
	}
	return from, to
}

func (p *picture) shade(top float64) {
	for _, s := range union(p.faults) {
		from, to := p.interval(s)
		p.back.rect("fault", from, top, to-from, p.y-top)
	}
}

// key is an entry of a panel's legend.
type key struct{ class, name string }

// title begins a panel and leaves y at the upper edge of its plot. It is one text, so that the browser, which knows the
// font, spaces its parts.
func (p *picture) title(text, unit string, keys ...key) {
	p.y += panelSpacing
	p.mark(`<text x="0" y="`, px(p.y), `"><tspan class="panel-title">`, text, `</tspan>`)
	if len(keys) == 0 || p.frame.width > 500 {
		p.mark(`<tspan class="unit" dx="8">`, html.EscapeString(unit), `</tspan>`)
	}
	for _, k := range keys {
		p.mark(`<tspan class="key `, k.class, `" dx="14">━</tspan><tspan class="unit" dx="5">`, k.name, `</tspan>`)
	}
	p.mark(`</text>`)
	p.y += titleHeight
}

func (p *picture) grid(ticks []tick, y scale) {
	for _, t := range ticks {
		at := y.at(t.value)
		p.line("grid", p.x.start, at, p.x.stop, at)
		p.text("tick", "end", p.x.start-6, at+3.5, t.label)
	}
}

func (p *picture) throughput() {
	if len(p.series.columns) == 0 {
		return
	}
	p.title("Throughput", "acknowledged per second", key{"writes", "writes"}, key{"reads", "reads"})
	ticks := countTicks(p.series.busiest())
	y := scale{low: 0, high: ticks[len(ticks)-1].value, start: p.y + plotHeight, stop: p.y}
	p.grid(ticks, y)
	var writes, reads, upper curve
	for _, c := range p.series.columns {
		from, to := p.x.time(c.begin), p.x.time(c.end)
		writes.add(from, to, y.at(c.writes))
		reads.add(from, to, y.at(c.reads))
		upper.add(from, to, y.at(c.most))
	}
	if p.series.merged() > 0 { // between the quietest and the busiest of them
		for i := len(p.series.columns) - 1; i >= 0; i-- {
			c := p.series.columns[i]
			upper.add(p.x.time(c.begin), p.x.time(c.end), y.at(c.least))
		}
		p.path("envelope", upper.path()+"Z")
	}
	p.path("reads", reads.path())
	p.path("writes", writes.path())
	p.y += plotHeight
}

func (p *picture) latency() {
	low, high := p.series.latencies()
	if high == 0 {
		return
	}
	p.title("Latency", "of answers, logarithmic", key{"p50", "p50"}, key{"p99", "p99"})
	y := scale{low: niceFloor(low.Seconds()), high: niceCeil(high.Seconds()), start: p.y + plotHeight, stop: p.y, log: true}
	ticks := latencyTicks(y.low, y.high)
	p.grid(ticks, y)
	var p50, p99 curve
	for _, c := range p.series.columns {
		if c.p99 == 0 {
			p50.gap()
			p99.gap()
			continue
		}
		from, to := p.x.time(c.begin), p.x.time(c.end)
		p50.add(from, to, y.at(c.p50.Seconds()))
		p99.add(from, to, y.at(c.p99.Seconds()))
	}
	p.path("p99", p99.path())
	p.path("p50", p50.path())
	p.y += plotHeight
}

// reigns is a band with a segment for each time in which somebody led, or nobody.
func (p *picture) reigns(leaders []Reign) {
	if len(leaders) == 0 {
		return
	}
	p.title("Leader and term", "as members said")
	drawn := math.Inf(-1)
	for _, l := range leaders {
		from, to := p.interval(l.Span)
		if to <= drawn+0.5 { // too short to be seen beside what is there already
			continue
		}
		drawn = to
		if l.Leader == "" {
			p.rect("vacant", from, p.y+reignHeight/2-1, to-from, 2)
			if fits("nobody", from, to) {
				p.text("vacant-label", "middle", (from+to)/2, p.y+7, "nobody")
			}
			continue
		}
		width := max(to-from-1, 1) // the next one keeps off
		p.rect("reign "+p.members.class(l.Leader), from, p.y, width, reignHeight)
		name, term := short(l.Leader, 16), fmt.Sprint(l.Term)
		for _, label := range []string{name + " · term " + term, name + " · " + term, name} {
			if fits(label, from, to) {
				p.text("on", "middle", (from+to)/2, p.y+15, label)
				break
			}
		}
	}
	p.y += reignHeight
}

func fits(label string, from, to float64) bool { return textWidth(label)+8 <= to-from }

// endpoints is a row for each member: errors as bars, and below them a line that is broken where writes had a gap.
func (p *picture) endpoints(sides []Side) {
	most := 0.0
	for _, s := range p.series.sides {
		for _, e := range s.errors {
			most = max(most, e)
		}
	}
	if len(sides) == 0 {
		return
	}
	unit := "no errors"
	if most > 0 {
		unit = "highest bar: " + Several(int(math.Ceil(most)), "error", "errors") + " per second"
	}
	p.title("Errors per endpoint", unit)
	height := scale{low: 0, high: most, start: 0, stop: 18}
	for i, side := range sides {
		class := p.members.class(side.Member)
		base := p.y + 20
		p.text("side-label "+class, "end", p.x.start-6, base+5, fit(side.Member, (p.x.start-6)/1.1))
		p.line("grid", p.x.start, base, p.x.stop, base)
		if i < len(p.series.sides) {
			p.path("errors", p.bars(p.series.sides[i].errors, base, height))
		}
		p.service(side, class, base+3)
		p.y += sideHeight
	}
	p.y -= sideHeight - 30
}

// bars stand on base, one for each column in which there was an error.
func (p *picture) bars(errors []float64, base float64, height scale) string {
	var d strings.Builder
	for i, e := range errors {
		if e > 0 && i < len(p.series.columns) {
			from, to := p.interval(Span{p.series.columns[i].begin, p.series.columns[i].end})
			h := max(height.at(e), 1.5)
			block(&d, from, base-h, to-from, h)
		}
	}
	return d.String()
}

// service is the line of a side: whole while its writes are acknowledged, with the length of a gap where there is room.
func (p *picture) service(side Side, class string, y float64) {
	if len(side.OK) == 0 && len(side.Gaps) == 0 {
		return
	}
	var whole, gaps strings.Builder
	var labels canvas // above the paths
	done := p.x.start
	for _, g := range side.Gaps {
		from, to := p.interval(g)
		if to <= done {
			continue
		}
		if from > done {
			block(&whole, done, y, from-done, 5)
		}
		from = max(from, done)
		block(&gaps, from, y+2, to-from, 1)
		if label := span(g.End - g.Begin); fits(label, from, to) {
			labels.text("gap-label", "middle", (from+to)/2, y+6, label)
		}
		done = to
	}
	if done < p.x.stop {
		block(&whole, done, y, p.x.stop-done, 5)
	}
	p.path("gaps", gaps.String())
	p.path("service "+class, whole.String())
	p.mark(labels.String())
}

func (p *picture) axis(top float64) {
	p.line("axis", p.x.start, p.y, p.x.stop, p.y)
	for i, t := range timeTicks(p.end, p.frame.ticks) {
		at := p.x.at(t.value)
		if i > 0 {
			p.back.line("grid upright", at, top, at, p.y)
		}
		p.line("axis", at, p.y, at, p.y+4)
		anchor := "middle"
		if half := textWidth(t.label) / 2; at+half > p.frame.width {
			anchor = "end"
			at = p.frame.width
		}
		p.text("tick", anchor, at, p.y+17, t.label)
	}
	name := "time since the start"
	if p.end >= time.Hour {
		name += ", h:min:s"
	} else if p.end >= 2*time.Minute {
		name += ", min:s"
	}
	p.text("unit", "end", p.x.stop, p.y+31, name)
}

// readouts lays columns over the panels that say what they stand for.
func (p *picture) readouts(top float64, leaders []Reign) {
	p.mark(`<g class="readouts">`)
	for _, c := range p.series.columns {
		from, to := p.x.time(c.begin), p.x.time(c.end)
		p.note("readout", from, top, to-from, p.y-top, c.text(p.end, leaders))
	}
	p.mark(`</g>`)
}

func (c column) text(end time.Duration, leaders []Reign) string {
	leader := ""
	for _, l := range leaders {
		if middle := (c.begin + c.end) / 2; l.Begin <= middle && middle < l.End {
			leader = " · nobody leads"
			if l.Leader != "" {
				leader = fmt.Sprintf(" · %s leads, term %d", short(l.Leader, 16), l.Term)
			}
		}
	}
	latency := ""
	if c.p99 > 0 {
		latency = fmt.Sprintf(" · p50 %s, p99 %s", span(c.p50), span(c.p99))
	}
	at := fmt.Sprintf("%.1f s", c.begin.Seconds())
	if end >= 2*time.Minute {
		at = clock(c.begin+1, end)
	}
	return fmt.Sprintf("%s · %s writes/s, %s reads/s, %s errors/s%s%s", at, Whole(c.writes), Whole(c.reads),
		Whole(c.errors), latency, leader)
}
