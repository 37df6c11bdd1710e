package live

import (
	"strings"
	"unicode"
)

// Style is what a terminal can show.
type Style struct {
	Color   bool
	Unicode bool
}

// StyleOf reads the environment, a list of NAME=value: NO_COLOR says that there shall be no colour, the locale whether
// anything but ASCII can be shown.
func StyleOf(environ []string) Style {
	values := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = value
	}
	locale := ""
	for _, name := range []string{"LANG", "LC_CTYPE", "LC_ALL"} { // the last that is set counts
		if values[name] != "" {
			locale = strings.ToLower(values[name])
		}
	}
	return Style{
		Color:   values["NO_COLOR"] == "",
		Unicode: strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8"),
	}
}

// glyphs are the characters of the picture, each one column wide.
type glyphs struct {
	done, todo          string // of the bar
	levels              []rune // of a cell with acknowledged operations, from few to many
	errors, silent      string // of a cell without: there were errors, or nothing at all
	begin, during, heal string // of faults
	brief               string // a fault that began and healed in one step
	leads               string
}

func (s Style) glyphs() glyphs {
	if s.Unicode {
		return glyphs{done: "█", todo: "░", levels: []rune("▁▂▃▄▅▆▇█"), errors: "×", silent: "·",
			begin: "▼", during: "━", heal: "▲", brief: "◆", leads: "★"}
	}
	return glyphs{done: "#", todo: "-", levels: []rune("_-=+*#"), errors: "x", silent: ".",
		begin: "v", during: "-", heal: "^", brief: "o", leads: "*"}
}

// colour is an SGR parameter, or none.
type colour string

const (
	normal colour = ""
	bold   colour = "1"
	dim    colour = "2"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
)

// row is a line of the picture that ends where the terminal does.
type row struct {
	text  strings.Builder
	width int // columns used
	limit int
	color bool
	now   colour // of what was added last
}

// add appends as much of a text as has room, each character one column wide.
func (r *row) add(c colour, text string) {
	runes := []rune(printable(text))
	runes = runes[:min(len(runes), r.limit-r.width)]
	if len(runes) == 0 {
		return
	}
	r.width += len(runes)
	r.turn(c)
	r.text.WriteString(string(runes))
}

func (r *row) turn(c colour) {
	if !r.color || c == r.now {
		return
	}
	if r.now != normal {
		r.text.WriteString("\x1b[0m")
	}
	if c != normal {
		r.text.WriteString("\x1b[" + string(c) + "m")
	}
	r.now = c
}

// String is the row with its colours, which end with it.
func (r *row) String() string {
	r.turn(normal)
	return r.text.String()
}

// printable replaces what would move the cursor: names and errors come from elsewhere.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}
