package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// What Text shows at most, so that all of it fits a terminal; the page has the rest.
const (
	mostMarksInText      = 10
	mostViolationsInText = 2
	mostOpsInText        = 5
	mostEventsInText     = 2
	mostNotesInText      = 3
)

// Text writes the verdict, the figures, and what was broken for a terminal, in about 40 lines at most.
func (r *Report) Text(w io.Writer, colour bool) error {
	t := text{colour: colour}
	word, sentence := r.result()
	t.line("%s: %s", t.paint(verdictColour[r.Verdict], word), sentence)
	var names []string
	for _, m := range r.Cluster.Members {
		names = append(names, Visible(m.Name))
	}
	t.line("%s, %s on %s, %s", Visible(r.Scenario), Several(len(r.Rounds), "round", "rounds"),
		strings.Join(names, " "), span(r.Duration))
	if r.Summary != "" {
		t.line("%s", Visible(r.Summary))
	}
	t.marks(r.Marks)
	t.counts(r.Counts)
	for i, v := range r.Violations[:min(len(r.Violations), mostViolationsInText)] {
		t.violation(i+1, len(r.Violations), v)
	}
	t.more(len(r.Violations), mostViolationsInText, "violation", "violations")
	if len(r.Notes) > 0 {
		t.line("")
	}
	for _, n := range r.Notes[:min(len(r.Notes), mostNotesInText)] {
		t.line("note: %s", Visible(n))
	}
	t.more(len(r.Notes), mostNotesInText, "note", "notes")
	_, err := w.Write(t.Bytes())
	return err
}

type text struct {
	bytes.Buffer
	colour bool
}

// Colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

var verdictColour = map[Verdict]string{Passed: green, Violated: red, Missed: yellow, Interrupted: yellow}

func (t *text) paint(colour, s string) string {
	if !t.colour || colour == "" {
		return s
	}
	return "\x1b[1;" + colour + "m" + s + "\x1b[0m"
}

func (t *text) line(format string, args ...any) {
	fmt.Fprintf(t, format+"\n", args...)
}

func (t *text) more(all, shown int, one, many string) {
	if all > shown {
		t.line("... and %s more: see the report", Several(all-shown, one, many))
	}
}

// marks puts those that were missed first: they are what is cut off last.
func (t *text) marks(marks []Mark) {
	if len(marks) == 0 {
		return
	}
	t.line("")
	table := tabwriter.NewWriter(t, 0, 0, 2, ' ', 0)
	shown := 0
	for _, kept := range []bool{false, true} {
		for _, m := range marks {
			if m.Kept != kept || shown == mostMarksInText {
				continue
			}
			shown++
			sign := t.paint(green, "kept  ")
			if !m.Kept {
				sign = t.paint(red, "MISSED")
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", sign, Visible(m.Name), Visible(m.Value), Visible(m.Bound))
		}
	}
	table.Flush()
	t.more(len(marks), mostMarksInText, "figure", "figures")
}

func (t *text) counts(c Counts) {
	if c.Operations == 0 {
		return
	}
	t.line("")
	line := fmt.Sprintf("%s: %s ok, %s refused, %s of unknown outcome", Several(c.Operations, "operation", "operations"),
		Whole(c.OK), Whole(c.Refused), Whole(c.Unknown))
	if c.Unknown > 0 {
		line += fmt.Sprintf(" (%s took effect)", Whole(c.UnknownDone))
	}
	t.line("%s", line)
}

func (t *text) violation(number, all int, v history.Violation) {
	t.line("")
	t.line("%s %s", t.paint(red, fmt.Sprintf("Violation %d of %d:", number, all)), Visible(v.Promise))
	t.line("  %s", Visible(v.Text))
	table := tabwriter.NewWriter(t, 0, 0, 2, ' ', 0)
	for _, op := range v.Ops[:min(len(v.Ops), mostOpsInText)] {
		fmt.Fprintf(table, "  #%d\tclient %d\t%s\t%s - %s s\t%s\t%s\n", op.ID, op.Client, Visible(op.Member),
			seconds(op.Begin), seconds(op.End), request(op, true), answer(op))
	}
	table.Flush()
	if n := len(v.Ops); n > mostOpsInText {
		t.line("  ... and %s more: see the report", Several(n-mostOpsInText, "operation", "operations"))
	}
	for _, e := range v.Events[:min(len(v.Events), mostEventsInText)] {
		what := "= " + short(e.Value, mostOfValue)
		if e.Deleted {
			what = "deleted"
		}
		t.line("  the store: revision %d, %s %s", e.Revision, short(e.Key, mostOfValue), what)
	}
}
