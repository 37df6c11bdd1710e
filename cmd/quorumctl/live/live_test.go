package live

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/quorumkv/quorumkv/internal/drill"
)

// rehearse lets a view see a minute of a drill: n1 leads, is cut off from second 10 to 20, while n2 takes over at 12, and
// from second 30 n3 is stopped for less than a second. observed is called after each observation.
func rehearse(v View, from, to time.Duration, observed func()) {
	for at := from; at < to; at += 250 * time.Millisecond {
		p := drill.Progress{
			Elapsed: at, Expected: 80 * time.Second, Phase: "round 1 of 2", Round: 1, Rounds: 2,
			Leader: "n1", Term: 4, WritesPerSecond: 1240, ReadsPerSecond: 3410, LongestGap: 12 * time.Millisecond,
			Members: []drill.MemberProgress{
				{Name: "n1", OKPerSecond: 2300, Reachable: true, Leads: true},
				{Name: "n2", OKPerSecond: 1200 + 20*int(at.Seconds()), Reachable: true},
				{Name: "n3", OKPerSecond: 1100, Reachable: true},
			},
		}
		n1, n2, n3 := &p.Members[0], &p.Members[1], &p.Members[2]
		if at >= 10*time.Second && at < 20*time.Second {
			p.Fault, p.Struck = "cut off from the others", []string{"n1"}
			*n1 = drill.MemberProgress{Name: "n1", ErrorsPerSecond: 12, Reachable: true}
			p.ErrorsPerSecond = 12
			p.Leader, p.Term = "", 5
			n2.OKPerSecond, n3.OKPerSecond = 0, 0
		}
		if at >= 12*time.Second {
			n2.Leads, n1.Leads = true, false
			p.Leader, p.Term = "n2", 5
			n2.OKPerSecond, n3.OKPerSecond = 1400, 1100
			p.LongestGap = 2010 * time.Millisecond
		}
		if at == 30*time.Second {
			p.Fault, p.Struck = "n3 stopped", []string{"n3"}
			n3.Reachable, n3.OKPerSecond, n3.ErrorsPerSecond = false, 150, 3
		}
		switch at {
		case 10 * time.Second:
			p.Line = "n1, the leader, is cut off from the others"
		case 12 * time.Second:
			p.Line = "n2 leads in term 5, 2.0 s after n1 was cut off"
		case 35 * time.Second:
			p.Violations = 1
		}
		v.Observe(p)
		observed()
	}
}

// TestScreen shows what a terminal shows, at several sizes. `go test -run TestScreen -rewrite` writes it down anew.
//
//	show width=W height=H until=DURATION [ascii] [colour] [resize=WxH@DURATION] [close]
func TestScreen(t *testing.T) {
	datadriven.RunTest(t, "testdata/screen", func(t *testing.T, d *datadriven.TestData) string {
		var width, height int
		var until, resize string
		d.ScanArgs(t, "width", &width)
		d.ScanArgs(t, "height", &height)
		d.ScanArgs(t, "until", &until)
		if d.HasArg("resize") {
			d.ScanArgs(t, "resize", &resize)
		}
		s := newScreen(t, width, height)
		v := NewTerminal(s, s.size, Style{Unicode: !d.HasArg("ascii"), Color: d.HasArg("colour")})
		start := time.Duration(0)
		frames := 0
		observed := func() {
			if frames++; s.writes != frames {
				t.Fatalf("%d writes for %d frames", s.writes, frames)
			}
		}
		if resize != "" {
			var when string
			if _, err := fmt.Sscanf(resize, "%dx%d@%s", &width, &height, &when); err != nil {
				t.Fatal(err)
			}
			start = duration(t, when)
			rehearse(v, 0, start, observed)
			s.resize(width, height)
		}
		rehearse(v, start, duration(t, until), observed)
		if d.HasArg("say") {
			v.Say("stopping and healing; Ctrl-C again leaves at once")
		}
		if !s.hidden || s.x != 0 {
			t.Errorf("while it runs, the cursor is hidden: %v, in column %d", s.hidden, s.x)
		}
		for _, row := range s.rows[max(0, len(s.rows)-s.height):] {
			if len(row.text) > width {
				t.Errorf("a row of %d columns on a screen of %d", len(row.text), width)
			}
		}
		if d.HasArg("close") {
			v.Close()
			v.Close()
			if s.hidden {
				t.Error("the cursor is still hidden")
			}
			written := s.writes
			rehearse(v, 0, time.Second, func() {})
			v.Say("more")
			if s.writes != written {
				t.Error("it writes after Close")
			}
		}
		if coloured := len(s.colours) > 0; coloured != d.HasArg("colour") {
			t.Errorf("colours: %v", s.colours)
		}
		return s.all()
	})
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestNothingShown closes a view that nobody has shown anything: the terminal hears nothing.
func TestNothingShown(t *testing.T) {
	s := newScreen(t, 80, 24)
	NewTerminal(s, s.size, Style{}).Close()
	if s.writes != 0 {
		t.Errorf("wrote %q", s.all())
	}
}

// TestForeignText has names and errors that would move the cursor.
func TestForeignText(t *testing.T) {
	s := newScreen(t, 80, 24)
	v := NewTerminal(s, s.size, Style{})
	v.Observe(drill.Progress{Phase: "round\x1b[2J 1\n2", Line: "n1: \x1b[31mred\r\nagain",
		Members: []drill.MemberProgress{{Name: "n\t1"}}})
	if got := s.all(); !strings.HasPrefix(got, "0:00  n1:  [31mred  again\nround [2J 1 2") || !strings.Contains(got, "\nn 1 ") {
		t.Errorf("shows\n%s", got)
	}
}

func TestPlain(t *testing.T) {
	var out strings.Builder
	v := NewPlain(&out)
	rehearse(v, 0, 16*time.Second, func() {})
	v.Say("stopping and healing")
	rehearse(v, 36*time.Second, 36250*time.Millisecond, func() {})
	// When the rounds are over, the last one's number says nothing any more.
	v.Observe(drill.Progress{Elapsed: 37 * time.Second, Phase: "checking the history", Round: 2, Rounds: 2})
	v.Close()
	v.Say("more")
	datadriven.RunTest(t, "testdata/plain", func(*testing.T, *datadriven.TestData) string { return out.String() })
}

func TestStyleOf(t *testing.T) {
	for environ, want := range map[string]Style{
		"":                                   {Color: true},
		"LANG=en_GB.UTF-8":                   {Color: true, Unicode: true},
		"LANG=en_GB.UTF-8 LC_ALL=C":          {Color: true},
		"LANG=C LC_CTYPE=C.utf8 NO_COLOR=":   {Color: true, Unicode: true},
		"LC_ALL=de_DE.UTF-8 NO_COLOR=please": {Unicode: true},
	} {
		if got := StyleOf(strings.Fields(environ)); got != want {
			t.Errorf("%s: %+v", environ, got)
		}
	}
}
