package live

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// screen interprets what a view writes, as a terminal does: rows of a fixed width, a cursor, and what scrolls out at the
// top. It fails the test at a sequence that it does not know.
type screen struct {
	t             *testing.T
	width, height int
	rows          []line // the last height of them are on the screen
	x, y          int    // y counts in rows
	hidden        bool   // the cursor
	writes        int
	colours       map[string]bool // SGR parameters seen
}

// line is a row; joined ones are broken only because the terminal is no wider.
type line struct {
	text   []rune
	joined bool // to the row above
}

func newScreen(t *testing.T, width, height int) *screen {
	return &screen{t: t, width: width, height: height, rows: make([]line, 1), colours: map[string]bool{}}
}

func (s *screen) size() (width, height int) { return s.width, s.height }

func (s *screen) Write(p []byte) (int, error) {
	s.writes++
	text := []rune(string(p))
	for i := 0; i < len(text); i++ {
		switch r := text[i]; {
		case r == '\r':
			s.x = 0
		case r == '\n':
			s.x = 0
			s.down(false)
		case r == '\x1b':
			i += s.escape(string(text[i:])) - 1
		case r < ' ':
			s.t.Fatalf("unexpected control character %q in %q", r, string(p))
		default:
			s.put(r)
		}
	}
	return len(p), nil
}

func (s *screen) down(joined bool) {
	s.y++
	if s.y == len(s.rows) {
		s.rows = append(s.rows, line{joined: joined})
	}
}

func (s *screen) put(r rune) {
	if s.x == s.width {
		s.x = 0
		s.down(true)
	}
	row := &s.rows[s.y]
	for len(row.text) <= s.x {
		row.text = append(row.text, ' ')
	}
	row.text[s.x] = r
	s.x++
}

// escape executes the sequence at the beginning of text and returns its length.
func (s *screen) escape(text string) int {
	end := strings.IndexAny(text, "ABCDHJKmhl")
	if end < 0 || !strings.HasPrefix(text, "\x1b[") {
		s.t.Fatalf("unexpected sequence in %q", text)
	}
	parameter := text[2:end]
	switch text[end] {
	case 'A':
		n, err := strconv.Atoi(parameter)
		if err != nil {
			s.t.Fatalf("unexpected sequence %q", text[:end+1])
		}
		s.y = max(s.y-n, len(s.rows)-s.height, 0)
	case 'K':
		s.rows[s.y].text = s.rows[s.y].text[:min(s.x, len(s.rows[s.y].text))]
	case 'J':
		s.rows[s.y].text = s.rows[s.y].text[:min(s.x, len(s.rows[s.y].text))]
		s.rows = s.rows[:s.y+1]
	case 'm':
		s.colours[parameter] = true
	case 'h', 'l':
		if parameter != "?25" {
			s.t.Fatalf("unexpected sequence %q", text[:end+1])
		}
		s.hidden = text[end] == 'l'
	default:
		s.t.Fatalf("unexpected sequence %q", text[:end+1])
	}
	return end + 1
}

// resize breaks and joins rows anew, as most terminals do.
func (s *screen) resize(width, height int) {
	old, cursor := s.rows, s.y
	s.width, s.height, s.rows = width, height, nil
	var text []rune
	for i := range old {
		if i == cursor {
			s.y = len(s.rows) // a view leaves the cursor at the beginning of a row
		}
		text = append(text, old[i].text...)
		if i+1 < len(old) && old[i+1].joined {
			continue
		}
		for first := true; first || len(text) > 0; first = false {
			n := min(len(text), width)
			s.rows = append(s.rows, line{text: text[:n:n], joined: !first})
			text = text[n:]
		}
	}
}

// all is everything that was shown, with what has scrolled away.
func (s *screen) all() string {
	var b strings.Builder
	for _, row := range s.rows {
		fmt.Fprintln(&b, strings.TrimRight(string(row.text), " "))
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
