package cluster

import (
	"bufio"
	"context"
	"io"
	"strings"
	"sync"
)

// keepLines bounds the memory a chatty node can take; enough for the story of a failure.
const keepLines = 20000

// outputLog holds what one process printed, line by line.
type outputLog struct {
	mu      sync.Mutex
	lines   []string
	dropped int           // lines no longer held, before lines[0]
	changed chan struct{} // closed and replaced at every line and at the end
	done    bool
}

func newOutputLog() *outputLog { return &outputLog{changed: make(chan struct{})} }

// fill reads r to its end.
func (l *outputLog) fill(r io.Reader) {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadString('\n')
		l.mu.Lock()
		if line != "" {
			l.lines = append(l.lines, strings.TrimRight(line, "\n"))
			if len(l.lines) > 2*keepLines {
				n := len(l.lines) - keepLines
				l.lines = append([]string(nil), l.lines[n:]...)
				l.dropped += n
			}
		}
		l.done = err != nil
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// await returns the first line that contains text, now or later. It returns false when the output or ctx ends first.
func (l *outputLog) await(ctx context.Context, text string) (string, bool) {
	next := 0 // number of lines looked at, dropped ones included
	for {
		l.mu.Lock()
		for _, line := range l.lines[max(0, next-l.dropped):] {
			if strings.Contains(line, text) {
				l.mu.Unlock()
				return line, true
			}
		}
		next = l.dropped + len(l.lines)
		changed, done := l.changed, l.done
		l.mu.Unlock()
		if done {
			return "", false
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", false
		}
	}
}

// tail returns the last n lines.
func (l *outputLog) tail(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines[max(0, len(l.lines)-n):]...)
}
