package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// node is one server process of a local cluster.
type node struct {
	name                 string
	clientPort, peerPort int
	data, log, config    string // paths

	cmd      *exec.Cmd     // nil until started
	logStart int64         // where this run's part of the log begins
	done     chan struct{} // closed, by the goroutine that waits for the process, once it has ended
}

func (n *node) clientURL() string { return "http://127.0.0.1:" + strconv.Itoa(n.clientPort) }
func (n *node) peerURL() string   { return "http://127.0.0.1:" + strconv.Itoa(n.peerPort) }
func (n *node) pid() int          { return n.cmd.Process.Pid }

// start runs the server in a process group of its own: the terminal's Ctrl-C goes to our group alone, and we stop the
// nodes in the order we choose. exits hears of the end.
func (n *node) start(binary string, exits chan<- *node) error {
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", n.name, err)
	}
	defer log.Close() // the child has its own handle
	if n.logStart, err = log.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("open the log of %s: %w", n.name, err)
	}
	n.cmd = exec.Command(binary, "--config-file", n.config)
	n.cmd.Env = nodeEnvironment(os.Environ())
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.SysProcAttr = ownGroup()
	if err := n.cmd.Start(); err != nil {
		n.cmd = nil
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	go func() {
		// Wait's error repeats what ProcessState says better; see exitReason.
		_ = n.cmd.Wait()
		close(n.done)
		exits <- n
	}()
	return nil
}

// nodeEnvironment leaves out settings of the surrounding shell, which would go before the node's file.
func nodeEnvironment(environ []string) []string {
	var kept []string
	for _, entry := range environ {
		if !strings.HasPrefix(entry, envPrefixes[0]) && !strings.HasPrefix(entry, envPrefixes[1]) {
			kept = append(kept, entry)
		}
	}
	return kept
}

// runs tells whether the process has been started and has not ended.
func (n *node) runs() bool {
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

// kill ends the process at once and waits until it is gone.
func (n *node) kill() {
	_ = n.cmd.Process.Kill() // fails only when the process has ended
	<-n.done
}

// exitReason says how an ended process ended.
func (n *node) exitReason() string {
	state := n.cmd.ProcessState
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		reason := fmt.Sprintf("killed by signal %d (%v)", status.Signal(), status.Signal())
		if status.Signal() == syscall.SIGKILL {
			reason += ", as kill -9 and a system out of memory do"
		}
		return reason
	}
	return fmt.Sprintf("exit status %d", state.ExitCode())
}

// lastLines returns the end of what this run of the node logged.
func (n *node) lastLines(count int) []string {
	const tail = 16 << 10
	f, err := os.Open(n.log)
	if err != nil {
		return []string{fmt.Sprintf("(%v)", err)}
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return []string{fmt.Sprintf("(%v)", err)}
	}
	start := max(n.logStart, end-tail)
	text := make([]byte, max(0, end-start))
	if _, err := f.ReadAt(text, start); err != nil && err != io.EOF {
		return []string{fmt.Sprintf("(%v)", err)}
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return []string{"(it wrote nothing)"}
	}
	lines := strings.Split(string(text), "\n")
	return lines[max(0, len(lines)-count):]
}
