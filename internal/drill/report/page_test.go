package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/internal/drill/report/example"
)

// each runs a test with every example and its page.
func each(t *testing.T, test func(t *testing.T, r *report.Report, page string)) {
	for name, r := range example.All() {
		t.Run(name, func(t *testing.T) { test(t, r, html(t, r)) })
	}
}

func html(t *testing.T, r *report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// element is one of a picture.
type element struct {
	name string
	attr map[string]string
}

func (e element) number(t *testing.T, name string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(e.attr[name], 64)
	if err != nil {
		t.Fatalf("%s of %v: %v", name, e, err)
	}
	return v
}

func (e element) is(class string) bool { return e.attr["class"] == class }

// pictures are the pictures of a page, each with its elements, the svg itself first.
func pictures(t *testing.T, page string) [][]element {
	t.Helper()
	var all [][]element
	for _, svg := range regexp.MustCompile(`(?s)<svg .*?</svg>`).FindAllString(page, -1) {
		var elements []element
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("a picture is not well-formed: %v", err)
			}
			if start, ok := token.(xml.StartElement); ok {
				e := element{start.Name.Local, map[string]string{}}
				for _, a := range start.Attr {
					e.attr[a.Name.Local] = a.Value
				}
				elements = append(elements, e)
			}
		}
		all = append(all, elements)
	}
	return all
}

var (
	pathCommand = regexp.MustCompile(`([MLHVZ])([^MLHVZ]*)`)
	number      = regexp.MustCompile(`-?[0-9.]+`)
)

// points are where an element is: for a path, all that it goes through.
func points(t *testing.T, e element) [][2]float64 {
	t.Helper()
	switch e.name {
	case "rect":
		x, y, w, h := e.number(t, "x"), e.number(t, "y"), e.number(t, "width"), e.number(t, "height")
		if w < 0 || h < 0 {
			t.Errorf("%v has a negative size", e)
		}
		return [][2]float64{{x, y}, {x + w, y + h}}
	case "text":
		return [][2]float64{{e.number(t, "x"), e.number(t, "y")}}
	case "path":
		var at [2]float64
		var all [][2]float64
		for _, c := range pathCommand.FindAllStringSubmatch(e.attr["d"], -1) {
			var values []float64
			for _, n := range number.FindAllString(c[2], -1) {
				v, err := strconv.ParseFloat(n, 64)
				if err != nil {
					t.Fatalf("path %q: %v", e.attr["d"], err)
				}
				values = append(values, v)
			}
			switch {
			case strings.Contains("ML", c[1]) && len(values) == 2:
				at = [2]float64{values[0], values[1]}
			case c[1] == "H" && len(values) == 1:
				at[0] = values[0]
			case c[1] == "V" && len(values) == 1:
				at[1] = values[0]
			case c[1] == "Z" && len(values) == 0:
			default:
				t.Fatalf("path %q: what is %q?", e.attr["d"], c[0])
			}
			all = append(all, at)
		}
		if len(all) == 0 || number.FindString(e.attr["d"]) == "" {
			t.Errorf("a path of class %s has no points: %q", e.attr["class"], e.attr["d"])
		}
		return all
	default:
		return nil
	}
}

func TestEverythingIsInsideItsPicture(t *testing.T) {
	each(t, func(t *testing.T, _ *report.Report, page string) { checkInside(t, page) })
}

// TestAnyReportIsDrawn: a report that makes no sense has a page nevertheless, whose pictures keep inside.
func TestAnyReportIsDrawn(t *testing.T) {
	for seed := range uint64(100) {
		r := anyReport(rand.New(rand.NewPCG(seed, 2)))
		ok := t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { checkInside(t, html(t, r)) })
		if !ok {
			t.Fatalf("repeat with: go test ./internal/drill/report -run 'TestAnyReportIsDrawn/^%d$'", seed)
		}
	}
}

// anyReport has lists of different lengths, times in no order, beyond the end and before the beginning.
func anyReport(random *rand.Rand) *report.Report {
	scale := int64(1) << (1 + random.IntN(50))
	at := func() time.Duration { return time.Duration(random.Int64N(scale) - scale/10) }
	name := func() string { return strings.Repeat("n", random.IntN(5)) }
	r := &report.Report{Duration: at()}
	tl := &r.Timeline
	tl.Step = []time.Duration{0, 1, time.Millisecond, 100 * time.Millisecond, time.Hour}[random.IntN(5)]
	for range random.IntN(3) * random.IntN(500) {
		p := report.Point{Writes: random.IntN(3), Reads: random.IntN(int(min(scale, 1<<30))), P50: max(0, at()), P99: max(0, at())}
		tl.Points = append(tl.Points, p)
	}
	for range random.IntN(8) {
		fault := history.Fault{At: at(), Until: at(), Round: random.IntN(3), Members: []string{name(), name()}, What: name()}
		tl.Faults = append(tl.Faults, fault)
		tl.Leaders = append(tl.Leaders, report.Reign{Leader: name(), Term: random.Uint64(), Span: report.Span{Begin: at(), End: at()}})
		side := report.Side{Member: name(), OK: make([]int, random.IntN(100)), Errors: make([]int, random.IntN(2000))}
		for i := range side.Errors {
			side.Errors[i] = random.IntN(4)
		}
		for range random.IntN(6) {
			side.Gaps = append(side.Gaps, report.Span{Begin: at(), End: at()})
		}
		tl.Sides = append(tl.Sides, side)
		r.Rounds = append(r.Rounds, report.Round{Begin: at(), Healed: at(), Gap: at()})
		v := history.Violation{Promise: name()}
		for range random.IntN(20) {
			v.Ops = append(v.Ops, history.Op{Client: random.IntN(4), Member: name(), Key: name(), Begin: at(), End: at()})
		}
		r.Violations = append(r.Violations, v)
	}
	return r
}

func checkInside(t *testing.T, page string) {
	t.Helper()
	for _, elements := range pictures(t, page) {
		box := number.FindAllString(elements[0].attr["viewBox"], -1)
		width, _ := strconv.ParseFloat(box[2], 64)
		height, _ := strconv.ParseFloat(box[3], 64)
		if width <= 0 || height <= 0 {
			t.Fatalf("view box %q", box)
		}
		for _, e := range elements[1:] {
			for _, p := range points(t, e) {
				// Written without a comparison that NaN would pass.
				if !(p[0] >= 0 && p[0] <= width+0.1 && p[1] >= 0 && p[1] <= height+0.1) {
					t.Errorf("%s %q reaches %v, outside of %v × %v", e.name, e.attr["class"], p, width, height)
				}
			}
		}
	}
}

func TestFaultWindowsAreWhereTheyBelong(t *testing.T) {
	for name, r := range map[string]*report.Report{
		"passed": example.Passed(), "interrupted": example.Interrupted(), "huge": example.Huge(),
	} {
		t.Run(name, func(t *testing.T) {
			for _, elements := range pictures(t, html(t, r)) {
				var columns, faults []element
				for _, e := range elements {
					switch {
					case e.is("readout"):
						columns = append(columns, e)
					case e.is("fault"):
						faults = append(faults, e)
					}
				}
				if len(faults) != len(r.Timeline.Faults) {
					t.Fatalf("%d windows are drawn of %d faults", len(faults), len(r.Timeline.Faults))
				}
				// The columns of the readouts span the drill: they tell where a time is.
				first, last := columns[0], columns[len(columns)-1]
				start := first.number(t, "x")
				perSecond := (last.number(t, "x") + last.number(t, "width") - start) / r.Duration.Seconds()
				for i, f := range r.Timeline.Faults {
					until := f.Until
					if until == 0 {
						until = r.Duration
					}
					x, w := faults[i].number(t, "x"), faults[i].number(t, "width")
					near(t, "begin", x, start+f.At.Seconds()*perSecond)
					near(t, "end", x+w, start+until.Seconds()*perSecond)
				}
			}
		})
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if d := got - want; d > 1 || d < -1 {
		t.Errorf("the %s of a window is at %v, want %v", what, got, want)
	}
}

func TestNothingIsDrawnOfWhatIsNotThere(t *testing.T) {
	classes := func(r *report.Report) map[string]int {
		n := map[string]int{}
		for _, elements := range pictures(t, html(t, r)) {
			for _, e := range elements {
				n[e.attr["class"]]++
			}
		}
		return n
	}
	if n := classes(example.All()["empty"]); len(n) != 0 {
		t.Errorf("an empty timeline has a picture of %v", n)
	}
	n := classes(example.AllErrors())
	if n["p50"]+n["p99"] != 0 {
		t.Error("latencies are drawn of a drill without an answer")
	}
	if n["errors"] == 0 || n["vacant"] == 0 || n["gaps"] == 0 {
		t.Errorf("errors, gaps and the time without a leader are missing: %v", n)
	}
	if n := classes(example.Passed()); n["p99"] != 2 || n["writes"] != 2 || n["reign m0"] == 0 {
		t.Errorf("load, latency or leaders are missing: %v", n)
	}
}

// TestLatencyBreaks: no line may bridge a time without an answer.
func TestLatencyBreaks(t *testing.T) {
	r := example.OnePoint()
	r.Duration = 500 * time.Millisecond
	answered := report.Point{Writes: 1, P50: time.Millisecond, P99: 2 * time.Millisecond}
	r.Timeline.Points = []report.Point{answered, answered, {}, answered}
	for _, elements := range pictures(t, html(t, r)) {
		for _, e := range elements {
			if e.is("p99") && strings.Count(e.attr["d"], "M") != 2 {
				t.Errorf("p99 is drawn as %q, want two pieces", e.attr["d"])
			}
		}
	}
}

func TestPageIsSelfContainedAndLight(t *testing.T) {
	each(t, func(t *testing.T, r *report.Report, page string) {
		if len(page) > 1<<20 {
			t.Errorf("the page has %d bytes, more than a MiB", len(page))
		}
		for _, forbidden := range []string{" src=", "@import", "url(", "<link rel=\"stylesheet\""} {
			if r.Scenario != example.Hostile && strings.Contains(page, forbidden) {
				t.Errorf("the page has %q", forbidden)
			}
		}
	})
	if page := html(t, example.Huge()); len(page) > 400<<10 {
		t.Errorf("the page of a long drill has %d bytes, more than 400 KiB", len(page))
	}
}

func TestTextOfOthersIsHarmless(t *testing.T) {
	r := example.Odd()
	page := html(t, r)
	if n := strings.Count(page, "<script"); n != 1 {
		t.Errorf("the page has %d scripts, want its own", n)
	}
	for _, forbidden := range []string{"<img", "\x1b", "\x00", "\u202e", "\xff"} {
		if strings.Contains(page, forbidden) {
			t.Errorf("the page has %q as it was", forbidden)
		}
	}
	if !strings.Contains(page, "&lt;script&gt;alert(") {
		t.Error("the page does not show the text")
	}
	var text bytes.Buffer
	if err := r.Text(&text, false); err != nil {
		t.Fatal(err)
	}
	for _, forbidden := range []string{"\x1b", "\x00", "\u202e", "\xff"} {
		if strings.Contains(text.String(), forbidden) {
			t.Errorf("the text has %q as it was", forbidden)
		}
	}
}

func TestVerdictInWords(t *testing.T) {
	for _, c := range []struct {
		r    *report.Report
		want string
	}{
		{example.Passed(), "PASSED: 5 promises held, 3 figures within their marks"},
		{example.Violated(), "VIOLATED: 2 promises were broken"},
		{example.Missed(), "MISSED: 2 figures are beyond their marks"},
		{example.Interrupted(), "INTERRUPTED: nothing was broken so far"},
		{&report.Report{Verdict: report.Passed}, "PASSED: nothing was broken"},
	} {
		var text bytes.Buffer
		if err := c.r.Text(&text, false); err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(text.String(), "\n"); first != c.want {
			t.Errorf("the text begins with %q, want %q", first, c.want)
		}
		heading := regexp.MustCompile(`(?s)<h1>.*?</h1>`).FindString(html(t, c.r))
		if got := strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(heading, "")), " "); got != c.want {
			t.Errorf("the page's heading is %q, want %q", got, c.want)
		}
	}
}

// TestShortestStep: half of a nanosecond is no time, but it is a place.
func TestShortestStep(t *testing.T) {
	r := example.OnePoint()
	r.Timeline.Step = 1
	checkInside(t, html(t, r))
}
