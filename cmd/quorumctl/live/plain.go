package live

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill"
)

// summaryEvery is how often a plain view says how it goes, beside the news.
const summaryEvery = 5 * time.Second

// Plain writes a line for all news and every change of phase, and now and then one that sums up: for logs and pipes.
type Plain struct {
	mu      sync.Mutex
	w       io.Writer     // under mu, as all below
	phase   string        // shown last
	summary time.Duration // when the last one was
	elapsed time.Duration
	closed  bool
}

// NewPlain returns a view that writes to w, in whole lines.
func NewPlain(w io.Writer) *Plain { return &Plain{w: w} }

// Observe implements drill.Observer.
func (v *Plain) Observe(p drill.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.elapsed = p.Elapsed
	if p.Phase != v.phase {
		v.phase = p.Phase
		v.line(p.Phase)
	}
	if p.Line != "" {
		v.line(p.Line)
	}
	if p.Elapsed-v.summary >= summaryEvery {
		v.summary = p.Elapsed
		text := load(p) + "; " + standing(p)
		if f := fault(p); f != "" {
			text += "; " + f
		}
		if n := violations(p.Violations); n != "" {
			text += "; " + n
		}
		v.line(text)
	}
}

// Say implements View.
func (v *Plain) Say(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.line(line)
}

// Close implements View.
func (v *Plain) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
}

func (v *Plain) line(text string) {
	if !v.closed {
		fmt.Fprintf(v.w, "[%6.1f s] %s\n", v.elapsed.Seconds(), printable(text))
	}
}
