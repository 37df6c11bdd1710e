package report

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// window is a fault as the picture shows it.
type window struct {
	Span
	label string
	lane  int     // from 0, the topmost
	x     float64 // where the label begins
}

// windows are the faults by their begin, each until it was over or the picture ends. All have labels in words if these
// have room in so many lanes, or else all have the number of their round.
func windows(faults []history.Fault, x scale, end time.Duration, lanes int) (ws []window, numbered bool) {
	faults = slices.Clone(faults)
	slices.SortStableFunc(faults, func(a, b history.Fault) int { return cmp.Compare(a.At, b.At) })
	words := make([]window, len(faults))
	for i, f := range faults {
		until := f.Until
		if until == 0 {
			until = end
		}
		words[i] = window{Span: Span{min(f.At, end), min(max(until, f.At), end)}, label: faultLabel(f)}
	}
	if placed(words, x, lanes) {
		return words, false
	}
	numbers := slices.Clone(words)
	for i := range numbers {
		numbers[i].label = ""
		if n := faults[i].Round; n > 0 && (i == 0 || faults[i-1].Round != n) {
			numbers[i].label = strconv.Itoa(n)
		}
	}
	placed(numbers, x, 1)
	return numbers, true
}

func faultLabel(f history.Fault) string {
	text := short(strings.Join(f.Members, ", "), 30)
	if f.What != "" {
		text = strings.TrimSpace(text + " " + short(f.What, 60))
	}
	if f.Round > 0 {
		text = strconv.Itoa(f.Round) + ": " + text
	}
	return text
}

// placed gives every label a place in which it meets no other, and takes away those for which there is none; then it
// reports false.
func placed(ws []window, x scale, lanes int) bool {
	all := true
	taken := make([]float64, lanes) // how far each lane is full
	for i := range taken {
		taken[i] = -1e9
	}
	for i := range ws {
		w := &ws[i]
		if w.label == "" {
			continue
		}
		width := textWidth(w.label)
		begin := x.time(w.Begin)
		w.x = max(0, min(begin, x.stop-width))
		w.lane = slices.IndexFunc(taken, func(full float64) bool { return full <= w.x && full <= begin })
		if w.lane < 0 || x.stop-width < 0 {
			w.lane, w.label, all = 0, "", false
			continue
		}
		taken[w.lane] = max(w.x+width, x.time(w.End)) + 6
	}
	return all
}

// union is the time in which there was any fault, in pieces that do not touch.
func union(ws []window) []Span {
	var u []Span
	for _, w := range ws { // by Begin
		if n := len(u); n > 0 && w.Begin <= u[n-1].End {
			u[n-1].End = max(u[n-1].End, w.End)
			continue
		}
		u = append(u, w.Span)
	}
	return u
}
