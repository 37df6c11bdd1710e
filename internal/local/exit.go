package local

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// lastLinesCount is how many lines of a log an Exit shows.
const lastLinesCount = 5

// Exit is how a process ended.
type Exit struct {
	Node   *Node
	PID    int
	Clean  bool   // exit status 0
	Reason string // "exit status 3", "killed by signal 9 (killed), ..."
	// LastLines are the last of what the process logged, at least one line: it says so when there is nothing.
	LastLines []string
}

// LastLine is the last of LastLines.
func (e Exit) LastLine() string { return e.LastLines[len(e.LastLines)-1] }

// exitReason says how an ended process ended.
func exitReason(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		reason := fmt.Sprintf("killed by signal %d (%v)", status.Signal(), status.Signal())
		if status.Signal() == syscall.SIGKILL {
			reason += ", as kill -9 and a system out of memory do"
		}
		return reason
	}
	return fmt.Sprintf("exit status %d", state.ExitCode())
}

// answers tells whether the end of a process is what it was asked for. Who asks with SIGTERM waits for the end and sees how
// it went; SIGKILL may come to a process that has just failed by itself.
func answers(state *os.ProcessState, asked syscall.Signal) bool {
	if asked == syscall.SIGKILL {
		status, ok := state.Sys().(syscall.WaitStatus)
		return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	return asked != 0
}

// linesFrom returns the end of what the log holds from start on.
func (n *Node) linesFrom(start int64) []string {
	const tail = 16 << 10
	f, err := os.Open(n.Log)
	if err != nil {
		return []string{fmt.Sprintf("(%v)", err)}
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return []string{fmt.Sprintf("(%v)", err)}
	}
	start = max(start, end-tail)
	text := make([]byte, max(0, end-start))
	if _, err := f.ReadAt(text, start); err != nil && err != io.EOF {
		return []string{fmt.Sprintf("(%v)", err)}
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return []string{"(it wrote nothing)"}
	}
	lines := strings.Split(string(text), "\n")
	return lines[max(0, len(lines)-lastLinesCount):]
}
