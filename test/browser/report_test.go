package browser

import (
	_ "embed"
	"strings"
	"testing"

	"github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/internal/drill/report/example"
)

//go:embed look.js
var look string

// seen is what look.js finds on a page.
type seen struct {
	Verdict  string   // its text, as far as it is in the viewport without scrolling
	Contrast float64  // of its word with what is behind it
	Overflow float64  // pixels of the page beyond the window's width
	Pictures int      // timelines that are displayed
	Lines    int      // of load and latency, with a box that is not empty
	Faults   int      // shaded windows with a box that is not empty, inside their picture
	Cases    int      // pictures of violations that are displayed
	Bars     int      // of operations in them
	Wrong    []string // elements that stick out of their picture, labels that meet, text too small
}

func TestReportInBrowser(t *testing.T) {
	browser := start(t)
	for name, r := range example.All() {
		for _, v := range views {
			if v.rare && name != "violated" && name != "odd" {
				continue
			}
			t.Run(strings.ReplaceAll(name, " ", "-")+"/"+v.name, func(t *testing.T) {
				p := open(t, browser, r, v)
				s := evaluate[seen](t, p, look)
				p.screenshot(t, strings.ReplaceAll(name, " ", "-")+"-"+v.name)
				checkPage(t, r, s)
				p.mu.Lock()
				defer p.mu.Unlock()
				for _, trouble := range p.troubles {
					t.Error(trouble)
				}
			})
		}
	}
}

func checkPage(t *testing.T, r *report.Report, s seen) {
	t.Helper()
	if word := strings.ToUpper(string(r.Verdict)); !strings.HasPrefix(s.Verdict, word) {
		t.Errorf("the viewport shows the verdict %q, want %s", s.Verdict, word)
	}
	if s.Contrast < 4.5 {
		t.Errorf("the verdict's contrast is %.1f, want 4.5", s.Contrast)
	}
	if s.Overflow > 0 {
		t.Errorf("the page is %v pixels wider than the window", s.Overflow)
	}
	for _, wrong := range s.Wrong {
		t.Error(wrong)
	}
	if len(r.Timeline.Points) > 0 {
		if s.Pictures != 1 {
			t.Errorf("%d timelines are displayed, want 1", s.Pictures)
		}
		if want := wantLines(r); s.Lines != want {
			t.Errorf("%d lines of load and latency are drawn, want %d", s.Lines, want)
		}
		if (s.Faults == 0) != (len(r.Timeline.Faults) == 0) {
			t.Errorf("%d fault windows are drawn of %d faults", s.Faults, len(r.Timeline.Faults))
		}
	}
	ops, cases := 0, 0
	for _, v := range r.Violations {
		ops += len(v.Ops)
		if len(v.Ops) > 0 {
			cases++
		}
	}
	if s.Cases != cases || s.Bars != ops {
		t.Errorf("%d violations with %d operations are drawn, want %d with %d", s.Cases, s.Bars, cases, ops)
	}
}

// wantLines is two of load, and two of latency if anything was answered.
func wantLines(r *report.Report) int {
	for _, p := range r.Timeline.Points {
		if p.P99 > 0 {
			return 4
		}
	}
	return 2
}

// TestReadout moves the pointer over the picture.
func TestReadout(t *testing.T) {
	p := open(t, start(t), example.Passed(), views[0])
	text := evaluate[string](t, p, `(() => {
		const column = document.querySelector("svg.wide .readout:nth-child(100)");
		column.dispatchEvent(new PointerEvent("pointermove", {bubbles: true}));
		return document.getElementById("readout").textContent;
	})()`)
	for _, want := range []string{"writes/s", "reads/s", "p99", "leads, term"} {
		if !strings.Contains(text, want) {
			t.Errorf("the readout says %q, want something with %q", text, want)
		}
	}
}
