package live

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/quorumkv/quorumkv/internal/drill"
)

const (
	minCells = 10 // of a timeline: with less, figures give way
	figures  = 27 // columns of what stands behind a timeline
	minBar   = 8
	maxBar   = 40
)

// frame draws a drill in at most height rows that are narrower than width.
func frame(p drill.Progress, t *timeline, s Style, width, height int) []*row {
	f := &picture{p: p, style: s, glyphs: s.glyphs(), limit: max(1, width-1)} // in the last column terminals differ
	f.head()
	f.facts()
	f.timelines(t)
	return f.rows[:min(len(f.rows), max(1, height))]
}

type picture struct {
	p      drill.Progress
	style  Style
	glyphs glyphs
	limit  int
	rows   []*row
}

func (f *picture) row() *row {
	r := &row{limit: f.limit, color: f.style.Color}
	f.rows = append(f.rows, r)
	return r
}

// head is the phase, a bar if there is room, and the time.
func (f *picture) head() {
	r := f.row()
	name := f.p.Phase
	times := clock(f.p.Elapsed)
	if f.p.Expected > f.p.Elapsed {
		times += " of about " + clock(f.p.Expected)
	}
	r.add(bold, name)
	r.add(normal, "  ")
	if room := f.limit - utf8.RuneCountInString(name) - len(times) - 4; room >= minBar && f.p.Expected > 0 {
		size := min(room, maxBar)
		done := min(size, int(float64(size)*float64(f.p.Elapsed)/float64(f.p.Expected)))
		r.add(green, strings.Repeat(f.glyphs.done, done))
		r.add(dim, strings.Repeat(f.glyphs.todo, size-done))
		r.add(normal, "  ")
	}
	r.add(normal, times)
}

func (f *picture) facts() {
	r := f.row()
	r.add(dim, "fault   ")
	if now := fault(f.p); now != "" {
		r.add(yellow, now)
	} else {
		r.add(normal, "none")
	}

	r = f.row()
	r.add(dim, "leader  ")
	r.add(normal, standing(f.p))
	if n := violations(f.p.Violations); n != "" {
		r.add(normal, ", ")
		r.add(red, n)
	}

	r = f.row()
	r.add(dim, "load    ")
	r.add(normal, load(f.p))
}

// timelines are a row for the faults, and one for each member.
func (f *picture) timelines(t *timeline) {
	if len(f.p.Members) == 0 {
		return
	}
	label := len("faults")
	for _, m := range f.p.Members {
		label = max(label, utf8.RuneCountInString(m.Name))
	}
	label = min(label, max(4, f.limit/3))
	size, withFigures := f.limit-label-3-figures, true
	if size < minCells {
		size, withFigures = f.limit-label-3, false
	}
	size = max(0, min(size, maxCells))
	marks, members := t.last(size)
	young := strings.Repeat(" ", size-len(marks)) // now is always in the same column

	r := f.row()
	r.add(dim, column("faults", label)+"   "+young)
	for _, m := range marks {
		r.add(yellow, f.markGlyph(m))
	}
	most := 0
	for _, cells := range members {
		for _, c := range cells {
			most = max(most, c.ok)
		}
	}
	for i, m := range f.p.Members {
		r := f.row()
		r.add(normal, column(m.Name, label)+" ")
		if m.Leads {
			r.add(bold, f.glyphs.leads+" ")
		} else {
			r.add(normal, "  ")
		}
		r.add(normal, young)
		for _, c := range members[i] {
			r.add(f.cellGlyph(c, most))
		}
		if withFigures {
			f.figures(r, m)
		}
	}
}

func (f *picture) figures(r *row, m drill.MemberProgress) {
	r.add(normal, fmt.Sprintf(" %8s/s", count(m.OKPerSecond)))
	switch {
	case slices.Contains(f.p.Struck, m.Name) && f.p.Fault != "":
		r.add(yellow, "  struck")
	case !m.Reachable:
		r.add(red, "  no answer")
	}
	if m.ErrorsPerSecond > 0 {
		r.add(red, "  "+count(m.ErrorsPerSecond)+" err")
	}
}

func (f *picture) markGlyph(m mark) string {
	switch {
	case m.begins && m.heals:
		return f.glyphs.brief
	case m.begins:
		return f.glyphs.begin
	case m.heals:
		return f.glyphs.heal
	case m.lasts:
		return f.glyphs.during
	default:
		return " "
	}
}

func (f *picture) cellGlyph(c cell, most int) (colour, string) {
	switch {
	case !c.seen:
		return normal, " "
	case c.ok > 0:
		level := f.glyphs.levels[min(c.ok*len(f.glyphs.levels)/most, len(f.glyphs.levels)-1)]
		if c.errors > 0 {
			return yellow, string(level)
		}
		return green, string(level)
	case c.errors > 0:
		return red, f.glyphs.errors
	default:
		return dim, f.glyphs.silent
	}
}

// column cuts or fills a text to so many columns.
func column(text string, width int) string {
	runes := []rune(text)
	if len(runes) > width {
		return string(runes[:width])
	}
	return text + strings.Repeat(" ", width-len(runes))
}
