package chart

import (
	"bytes"
	"math"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

func TestTicks(t *testing.T) {
	tests := []struct {
		from, to float64
		want     []float64
	}{
		{900, 21_000, []float64{1000, 2000, 5000, 10_000, 20_000}},
		{0.5, 2.2, []float64{0.5, 0.7, 1, 1.5, 2}},
		{9, 1100, []float64{10, 30, 100, 300, 1000}},
		{1, 1000, []float64{1, 10, 100, 1000}},
	}
	for _, tt := range tests {
		got := ticks(tt.from, tt.to)
		if !slices.EqualFunc(got, tt.want, func(a, b float64) bool { return math.Abs(a/b-1) < 1e-9 }) {
			t.Errorf("ticks from %g to %g: %g, want %g", tt.from, tt.to, got, tt.want)
		}
	}
}

func TestLabels(t *testing.T) {
	for v, want := range map[float64]string{5: "5", 0.5: "0.5", 20_000: "20k", 1_000_000: "1M", 1500: "1.5k"} {
		if got := Number(v); got != want {
			t.Errorf("Number(%g) is %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{16: "16 B", 4096: "4 KiB", 1 << 20: "1 MiB"} {
		if got := Bytes(v); got != want {
			t.Errorf("Bytes(%g) is %q, want %q", v, got, want)
		}
	}
}

// TestScale puts equal factors at equal distances, larger values higher, and texts in as they are meant.
func TestScale(t *testing.T) {
	series := Series{Name: "a <b>", Points: []Point{{10, 100, 90, 110}, {100, 1000, 900, 1100}, {1000, 10_000, 9000, 11_000}}}
	panel := Panel{Title: "p", X: "x", Y: "y", LabelX: Number, LabelY: Number, Series: []Series{series}}
	p := Picture{Title: "t & u", Panels: []Panel{panel}}
	svg := p.SVG()
	if !bytes.Equal(svg, p.SVG()) {
		t.Error("the same picture is drawn in two ways")
	}
	for _, want := range []string{"t &amp; u", "a &lt;b&gt;", ">10k<", ">1k<"} {
		if !bytes.Contains(svg, []byte(want)) {
			t.Errorf("the picture lacks %q", want)
		}
	}
	marks := regexp.MustCompile(`<circle cx="([0-9.]+)" cy="([0-9.]+)"`).FindAllSubmatch(svg, -1)
	if len(marks) != 4 { // the first is the legend's
		t.Fatalf("%d marks, want 4", len(marks))
	}
	var x, y []float64
	for _, m := range marks[1:] {
		for i, to := range []*[]float64{&x, &y} {
			v, err := strconv.ParseFloat(string(m[i+1]), 64)
			if err != nil {
				t.Fatal(err)
			}
			*to = append(*to, v)
		}
	}
	if x[1] <= x[0] || math.Abs((x[2]-x[1])-(x[1]-x[0])) > 0.2 || y[1] >= y[0] || math.Abs((y[2]-y[1])-(y[1]-y[0])) > 0.2 {
		t.Errorf("marks at x %v, y %v", x, y)
	}
}

// TestEmpty draws a panel without points, and one whose points are all the same.
func TestEmpty(t *testing.T) {
	same := Series{Name: "s", Points: []Point{{1, 5, 5, 5}}}
	p := Picture{Panels: []Panel{{LabelX: Number, LabelY: Number}, {LabelX: Number, LabelY: Number, Series: []Series{same}}}}
	if svg := p.SVG(); bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
		t.Errorf("%s", svg)
	}
	if svg := (Picture{}).SVG(); !bytes.Contains(svg, []byte("</svg>")) {
		t.Errorf("%s", svg)
	}
}
