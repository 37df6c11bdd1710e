package cluster

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Result is what a command left behind.
type Result struct {
	Stdout, Stderr string
	Code           int  // -1 when a signal ended it
	TimedOut       bool // it ran on and was killed
}

// Run executes a command that is expected to end by itself.
func Run(t T, path string, args []string, timeout time.Duration) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = environment()
	if err := launch(cmd); err != nil {
		t.Fatalf("run %s %s: %v", path, strings.Join(args, " "), err)
	}
	var late bool
	timer := time.AfterFunc(timeout, func() { cmd.Process.Kill() })
	cmd.Wait() // the state says how it ended
	late = !timer.Stop()
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode(), TimedOut: late}
}

// Command is a command that runs until it ends or is told to.
type Command struct {
	t    T
	name string
	p    *process
}

// Background starts a command, which is killed at the end of the test at the latest.
func Background(t T, path string, args []string) *Command {
	t.Helper()
	p, err := spawn(path, args)
	if err != nil {
		t.Fatalf("%v", err)
	}
	c := &Command{t: t, name: path + " " + strings.Join(args, " "), p: p}
	t.Cleanup(func() {
		c.p.signal(unix.SIGKILL) // an error means that it has ended
		c.p.wait(stopTimeout)
	})
	return c
}

// AwaitLine waits until the command has printed a line with text, to its standard output or its standard error.
func (c *Command) AwaitLine(text string, timeout time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if _, ok := c.p.output.await(ctx, text); !ok {
		c.t.Fatalf("%s: no line %q within %v:\n%s", c.name, text, timeout, strings.Join(c.p.output.tail(keepLines), "\n"))
	}
}

// Signal sends a signal.
func (c *Command) Signal(s unix.Signal) {
	c.t.Helper()
	if err := c.p.signal(s); err != nil {
		c.t.Fatalf("send %v to %s: %v", s, c.name, err)
	}
}

// AwaitExit waits until the command has ended and returns its exit code, -1 when a signal ended it, and all that it printed.
func (c *Command) AwaitExit(timeout time.Duration) (code int, output string) {
	c.t.Helper()
	ended := c.p.wait(timeout)
	output = strings.Join(c.p.output.tail(keepLines), "\n")
	if !ended {
		c.t.Fatalf("%s: still running after %v:\n%s", c.name, timeout, output)
	}
	return c.p.state.ExitCode(), output
}
