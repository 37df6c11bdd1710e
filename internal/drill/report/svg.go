package report

import (
	"html"
	"math"
	"strconv"
	"strings"
)

// canvas writes SVG elements. Coordinates are in units of the view box, which are CSS pixels at full width; paths are
// absolute. Classes are styled by page.css.
type canvas struct{ strings.Builder }

// mark writes pieces as they are: the caller escapes.
func (c *canvas) mark(pieces ...string) {
	for _, p := range pieces {
		c.WriteString(p)
	}
}

func (c *canvas) rect(class string, x, y, w, h float64) {
	c.mark(`<rect class="`, class, `" x="`, px(x), `" y="`, px(y), `" width="`, px(w), `" height="`, px(h), `"/>`)
}

// note is a rectangle that says something when a pointer is over it.
func (c *canvas) note(class string, x, y, w, h float64, text string) {
	c.mark(`<rect class="`, class, `" x="`, px(x), `" y="`, px(y), `" width="`, px(w), `" height="`, px(h), `"><title>`,
		html.EscapeString(text), `</title></rect>`)
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	c.path(class, "M"+px(x1)+" "+px(y1)+"L"+px(x2)+" "+px(y2))
}

func (c *canvas) path(class, d string) {
	if d != "" {
		c.mark(`<path class="`, class, `" d="`, d, `"/>`)
	}
}

// text writes a line of text whose start, middle or end, as anchor says, is at x.
func (c *canvas) text(class, anchor string, x, y float64, text string) {
	c.mark(`<text class="`, class, `" text-anchor="`, anchor, `" x="`, px(x), `" y="`, px(y), `">`,
		html.EscapeString(text), `</text>`)
}

// px is a coordinate to a tenth of a pixel.
func px(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// textWidth estimates, rather too wide than too narrow, what text takes in the page's font at 11 pixels.
func textWidth(text string) float64 {
	w := 0.0
	for _, r := range text {
		switch {
		case strings.ContainsRune("iljtfrI.,:;'|!()[] ·", r):
			w += 4.4
		case strings.ContainsRune("mwMW@%—→", r) || r > 0x2e80:
			w += 11
		default:
			w += 7.1
		}
	}
	return w
}

// fit is as much of text as takes no more than width.
func fit(text string, width float64) string {
	for most := len([]rune(Visible(text))); most > 1; most-- {
		if t := short(text, most); textWidth(t) <= width {
			return t
		}
	}
	return short(text, 1)
}

// curve is a path through the middles of columns, broken where there is none. A column alone becomes a dash of its width.
type curve struct {
	strings.Builder
	drawn    int     // columns since the last break
	from, to float64 // edges of the last one
}

func (c *curve) add(from, to, y float64) {
	command := "L"
	if c.drawn == 0 {
		command = "M"
	}
	c.WriteString(command + px((from+to)/2) + " " + px(y))
	c.drawn, c.from, c.to = c.drawn+1, from, to
}

func (c *curve) gap() {
	if c.drawn == 1 {
		c.WriteString("H" + px(c.from) + "H" + px(c.to))
	}
	c.drawn = 0
}

func (c *curve) path() string {
	c.gap()
	return c.String()
}

// block adds a rectangle to a path of many.
func block(d *strings.Builder, x, y, w, h float64) {
	d.WriteString("M" + px(x) + " " + px(y) + "H" + px(x+w) + "V" + px(y+h) + "H" + px(x) + "Z")
}
