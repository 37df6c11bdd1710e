// Package live shows a drill while it runs: on a terminal as a small picture that is redrawn in place below the news, and
// elsewhere as plain lines.
//
// Invariants: a frame is one write, and never wider or higher than the terminal, so that nothing flickers or scrolls by
// itself; after Close the cursor is visible, the picture gone and the news left, and nothing is written any more.
package live

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill"
)

// View is an observer that a person looks at. Its methods may be called from different goroutines.
type View interface {
	drill.Observer
	// Say shows a line of news that does not come from the drill.
	Say(line string)
	Close()
}

// clock is a duration as on a stopwatch: "1:05".
func clock(d time.Duration) string {
	seconds := int(d.Seconds())
	return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
}

// short is a duration with three digits at most, as people say it.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// count has a comma before every three digits.
func count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func load(p drill.Progress) string {
	return fmt.Sprintf("%s writes/s, %s reads/s, %s errors/s",
		count(p.WritesPerSecond), count(p.ReadsPerSecond), count(p.ErrorsPerSecond))
}

// standing says who leads and what was worst so far.
func standing(p drill.Progress) string {
	text := "nobody leads"
	if p.Leader != "" {
		text = fmt.Sprintf("%s leads in term %d", p.Leader, p.Term)
	}
	return text + ", longest gap " + short(p.LongestGap)
}

// violations is empty when there are none.
func violations(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 violation"
	default:
		return count(n) + " violations"
	}
}

// fault says what is being done to whom. Some faults name them already.
func fault(p drill.Progress) string {
	who := strings.Join(p.Struck, ", ")
	if p.Fault == "" || who == "" || strings.Contains(p.Fault, who) {
		return p.Fault
	}
	return who + ": " + p.Fault
}
