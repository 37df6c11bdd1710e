package live

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/quorumkv/quorumkv/internal/drill"
)

const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	clearRight = "\x1b[K"
	clearBelow = "\x1b[J"
)

// Terminal draws the picture. Between frames the cursor stands at the beginning of the line below it.
type Terminal struct {
	size  func() (width, height int)
	style Style

	mu       sync.Mutex
	w        io.Writer // under mu, as all below
	timeline timeline
	progress drill.Progress // shown last
	observed bool           // there is a progress
	drawn    []int          // widths of the rows on the screen
	started  bool
	closed   bool
}

// NewTerminal returns a view that draws on w. size is asked before each frame.
func NewTerminal(w io.Writer, size func() (width, height int), s Style) *Terminal {
	return &Terminal{w: w, size: size, style: s}
}

// Observe implements drill.Observer.
func (v *Terminal) Observe(p drill.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.timeline.observe(p)
	v.progress, v.observed = p, true
	v.draw(p.Line)
}

// Say implements View.
func (v *Terminal) Say(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.draw(line)
}

// Close implements View.
func (v *Terminal) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.closed && v.started {
		width, _ := v.size()
		io.WriteString(v.w, v.back(width)+clearBelow+showCursor)
	}
	v.closed = true
}

// draw writes one frame over the last, with a line of news above it, if there is one.
func (v *Terminal) draw(news string) {
	if v.closed {
		return
	}
	width, height := v.size()
	var out strings.Builder
	if !v.started {
		out.WriteString(hideCursor)
		v.started = true
	}
	out.WriteString(v.back(width))
	if news != "" {
		fmt.Fprintf(&out, "%s  %s%s\n", clock(v.progress.Elapsed), printable(news), clearRight)
	}
	v.drawn = v.drawn[:0]
	if v.observed {
		for _, r := range frame(v.progress, &v.timeline, v.style, width, height-1) {
			out.WriteString(r.String() + clearRight + "\n")
			v.drawn = append(v.drawn, r.width)
		}
	}
	out.WriteString(clearBelow)
	io.WriteString(v.w, out.String())
}

// back moves to where the last frame begins. A terminal that has become narrower has broken its rows into several.
func (v *Terminal) back(width int) string {
	lines := 0
	for _, w := range v.drawn {
		lines += max(1, (w+width-1)/max(1, width))
	}
	if lines == 0 {
		return "\r"
	}
	return fmt.Sprintf("\r\x1b[%dA", lines)
}
