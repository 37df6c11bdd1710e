package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inBackground executes a line that drives a command which runs until it is stopped:
//
//	start NAME COMMAND      starts a command line under a name
//	await NAME TEXT         waits for a line of its standard output that contains TEXT; prints the output up to there
//	type NAME LINE          writes a line to its standard input
//	eof NAME                closes its standard input and waits for its end
//	interrupt NAME          sends SIGINT and waits for its end
//	terminate NAME          sends SIGTERM and waits for its end
//	end NAME                waits for its end
//
// What waits for the end prints the rest of the output and how the command ended.
func (c *tool) inBackground(t *testing.T, out *strings.Builder, line string) (handled bool, err error) {
	verb, line, _ := strings.Cut(line, " ")
	name, rest, _ := strings.Cut(line, " ")
	s := c.background[name]
	switch verb {
	case "start":
		return true, c.start(t, name, rest)
	case "await", "type", "eof", "interrupt", "terminate", "end":
		if s == nil {
			return true, fmt.Errorf("no command was started as %q", name)
		}
	default:
		return false, nil
	}
	switch verb {
	case "await":
		return true, c.await(s, out, rest)
	case "type":
		_, err := io.WriteString(s.stdin, rest+"\n")
		return true, err
	case "eof":
		err = s.stdin.Close()
	case "interrupt":
		err = s.cmd.Process.Signal(os.Interrupt)
	case "terminate":
		err = s.cmd.Process.Signal(syscall.SIGTERM)
	}
	if err != nil {
		return true, err
	}
	delete(c.background, name)
	return true, c.end(s, out)
}

// patience is how long a command may take to print what is awaited, or to end.
const patience = 20 * time.Second

// toolStart is a command that was started.
type toolStart struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	lines  chan string // of standard output; closed at its end
	stderr bytes.Buffer
}

func (c *tool) start(t *testing.T, name, line string) error {
	if c.background[name] != nil {
		return fmt.Errorf("%q runs already", name)
	}
	args, err := arguments(line)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := &toolStart{cmd: toolCommand(ctx, t, c.path, c.cluster.Endpoints(0), args), lines: make(chan string, 1000)}
	s.cmd.Stderr = &s.stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.Cancel = func() error { return syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) } // and what it started
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		cancel()
		return err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		cancel()
		return err
	}
	if err := s.cmd.Start(); err != nil {
		cancel()
		return err
	}
	go func() { // ends with the command
		defer close(s.lines)
		for text := bufio.NewReader(stdout); ; {
			line, err := text.ReadString('\n')
			if line != "" {
				s.lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	c.background[name] = s
	t.Cleanup(func() {
		cancel() // kills it, if it still runs
		for range s.lines {
		}
		s.cmd.Wait()
	})
	return nil
}

func (c *tool) await(s *toolStart, out *strings.Builder, text string) error {
	timeout := time.After(patience)
	var seen strings.Builder
	defer func() { out.WriteString(c.normalise(seen.String(), "")) }()
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				return fmt.Errorf("its output ended before %q; stderr: %s", text, s.stderr.String())
			}
			seen.WriteString(line)
			if strings.Contains(line, text) {
				return nil
			}
		case <-timeout:
			return fmt.Errorf("no %q within %v", text, patience)
		}
	}
}

func (c *tool) end(s *toolStart, out *strings.Builder) error {
	timeout := time.After(patience)
	var seen strings.Builder
	for open := true; open; {
		select {
		case line, ok := <-s.lines:
			open = ok
			seen.WriteString(line)
		case <-timeout:
			return fmt.Errorf("it did not end within %v; it printed %q", patience, seen.String())
		}
	}
	s.cmd.Wait() // its error is the exit code
	out.WriteString(c.normalise(seen.String(), ""))
	out.WriteString(c.normalise(s.stderr.String(), "stderr: "))
	if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		fmt.Fprintf(out, "ended by signal: %v\n", status.Signal())
	} else if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		fmt.Fprintf(out, "exit code %d\n", code)
	}
	return nil
}
