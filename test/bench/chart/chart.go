// Package chart draws line charts with logarithmic axes as SVG: a picture of some panels, each with the same few series.
// Marks show the middle, bars reach from the least to the greatest.
package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// Picture is a row of panels under a title.
type Picture struct {
	Title  string
	Panels []Panel
}

// Panel is one chart. Both axes are logarithmic; X has a tick at each point.
type Panel struct {
	Title, X, Y    string // Y with its unit
	LabelX, LabelY func(float64) string
	Series         []Series
}

// Series is one line.
type Series struct {
	Name   string
	Points []Point // by rising X; all values above 0
}

// Point is a measurement: Least <= Y <= Most.
type Point struct{ X, Y, Least, Most float64 }

// Sizes in pixels.
const (
	panelWidth, panelHeight = 320, 250 // of the area between the axes, and around it:
	left, right             = 66, 18
	top, bottom             = 40, 52
	headHeight              = 62 // title and legend
)

// colors are told apart by people who see no red or no green, and shapes by those who see neither.
var colors = []string{"#0b62c4", "#d55e00", "#4d4d4d"}

// SVG draws. Equal pictures give equal bytes.
func (p Picture) SVG() []byte {
	var b bytes.Buffer
	columns := len(p.Panels)
	if columns > 3 {
		columns = 2 // a third would be too small on a page
	}
	lines := (len(p.Panels) + columns - 1) / max(1, columns)
	width := columns * (left + panelWidth + right)
	height := headHeight + lines*(top+panelHeight+bottom)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" `+
		`font-family="Helvetica, Arial, 'DejaVu Sans', sans-serif" font-size="13" fill="#1f2328">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<title>%s</title>`+"\n", escape(p.Title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	text(&b, left, 26, "start", `font-size="17" font-weight="bold"`, p.Title)
	if len(p.Panels) > 0 {
		x := float64(left)
		for i, s := range p.Panels[0].Series {
			mark(&b, i, x+12, 46)
			fmt.Fprintf(&b, `<path d="M%.1f 46h24" stroke="%s" stroke-width="2"/>`+"\n", x, color(i))
			text(&b, x+32, 50, "start", "", s.Name)
			x += 60 + 8*float64(len(s.Name))
		}
	}
	for i, panel := range p.Panels {
		x := float64(i%columns*(left+panelWidth+right) + left)
		y := float64(headHeight + i/columns*(top+panelHeight+bottom) + top)
		panel.draw(&b, x, y)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func color(i int) string { return colors[i%len(colors)] }

// axis maps values to pixels.
type axis struct{ from, to, start, length float64 }

func (a axis) at(v float64) float64 {
	if a.to <= a.from {
		return a.start + a.length/2
	}
	return a.start + a.length*(math.Log(v)-math.Log(a.from))/(math.Log(a.to)-math.Log(a.from))
}

func (p Panel) draw(b *bytes.Buffer, x, y float64) {
	h, v, xs := p.axes(x, y)
	text(b, x, y-14, "start", `font-weight="bold"`, p.Title)
	for _, tick := range ticks(v.from, v.to) {
		at := v.at(tick)
		fmt.Fprintf(b, `<path d="M%.1f %.1fh%d" stroke="#d8dee4"/>`+"\n", x, at, panelWidth)
		text(b, x-8, at+4.5, "end", "", p.LabelY(tick))
	}
	fmt.Fprintf(b, `<path d="M%.1f %.1fv%dh%d" stroke="#6e7781" fill="none"/>`+"\n", x, y, panelHeight, panelWidth)
	for _, tick := range xs {
		at := h.at(tick)
		fmt.Fprintf(b, `<path d="M%.1f %.1fv5" stroke="#6e7781"/>`+"\n", at, y+panelHeight)
		text(b, at, y+panelHeight+19, "middle", "", p.LabelX(tick))
	}
	text(b, x+panelWidth/2, y+panelHeight+39, "middle", `fill="#57606a"`, p.X)
	fmt.Fprintf(b, `<text transform="translate(%.1f %.1f) rotate(-90)" text-anchor="middle" fill="#57606a">%s</text>`+"\n",
		x-left+14, y+panelHeight/2, escape(p.Y))
	for i, s := range p.Series {
		var line strings.Builder
		for n, pt := range s.Points {
			if n == 0 {
				line.WriteByte('M')
			} else {
				line.WriteByte('L')
			}
			fmt.Fprintf(&line, "%.1f %.1f", h.at(pt.X), v.at(pt.Y))
			if pt.Least > 0 && pt.Most > pt.Least {
				fmt.Fprintf(b, `<path d="M%.1f %.1fV%.1f" stroke="%s" stroke-width="1.2" opacity="0.7"/>`+"\n",
					h.at(pt.X), v.at(pt.Least), v.at(pt.Most), color(i))
			}
		}
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", line.String(), color(i))
		for _, pt := range s.Points {
			mark(b, i, h.at(pt.X), v.at(pt.Y))
		}
	}
}

// axes takes the room from all points, with some margin across, and the ticks along.
func (p Panel) axes(x, y float64) (along, across axis, xs []float64) {
	least, most := math.Inf(1), 0.0
	from, to := math.Inf(1), 0.0
	seen := map[float64]bool{}
	for _, s := range p.Series {
		for _, pt := range s.Points {
			for _, v := range []float64{pt.Y, pt.Least, pt.Most} {
				if v > 0 {
					least, most = min(least, v), max(most, v)
				}
			}
			from, to = min(from, pt.X), max(to, pt.X)
			if !seen[pt.X] {
				seen[pt.X] = true
				xs = append(xs, pt.X)
			}
		}
	}
	if most == 0 { // no points
		least, most, from, to = 1, 10, 1, 10
	}
	// At least a factor of four, or small differences look like large ones.
	for most < 4*least {
		least, most = least/1.1, most*1.1
	}
	const inset = 18
	return axis{from, to, x + inset, panelWidth - 2*inset}, axis{least / 1.15, most * 1.15, y + panelHeight, -panelHeight}, xs
}

// leastTicks is how many ticks an axis has at least, if there are as many round numbers.
const leastTicks = 4

// ticks are round numbers between two values: powers of ten, and as many between those as it takes.
func ticks(from, to float64) (all []float64) {
	for _, steps := range [][]float64{{1}, {1, 3}, {1, 2, 5}, {1, 1.5, 2, 3, 4, 5, 7}} {
		all = nil
		for power := math.Floor(math.Log10(from)); power <= math.Log10(to); power++ {
			for _, s := range steps {
				if v := s * math.Pow(10, power); v >= from && v <= to {
					all = append(all, v)
				}
			}
		}
		if len(all) >= leastTicks {
			break
		}
	}
	return all
}

// mark draws a series' own shape.
func mark(b *bytes.Buffer, series int, x, y float64) {
	switch series % 3 {
	case 0:
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="4.2" fill="%s"/>`+"\n", x, y, color(series))
	case 1:
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="8" height="8" fill="%s"/>`+"\n", x-4, y-4, color(series))
	default:
		fmt.Fprintf(b, `<path d="M%.1f %.1fl5 9h-10z" fill="%s"/>`+"\n", x, y-5, color(series))
	}
}

func text(b *bytes.Buffer, x, y float64, anchor, attributes, s string) {
	if attributes != "" {
		attributes = " " + attributes
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>`+"\n", x, y, anchor, attributes, escape(s))
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes all
	return b.String()
}

// Number is a label such as 500, 20k or 1M.
func Number(v float64) string {
	switch {
	case v >= 1e6:
		return trim(v/1e6) + "M"
	case v >= 1e3:
		return trim(v/1e3) + "k"
	default:
		return trim(v)
	}
}

// Bytes is a label such as 16 B or 4 KiB.
func Bytes(v float64) string {
	switch {
	case v >= 1<<20:
		return trim(v/(1<<20)) + " MiB"
	case v >= 1<<10:
		return trim(v/(1<<10)) + " KiB"
	default:
		return trim(v) + " B"
	}
}

func trim(v float64) string { return fmt.Sprintf("%.4g", v) }
