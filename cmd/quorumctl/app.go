package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"time"
)

// app is one run of the program: the world it sees and the flags that every command takes.
type app struct {
	stdin   io.Reader
	stdout  *bufio.Writer // flushed at the end of the run and wherever a person is waiting
	output  io.Writer     // what stdout writes to; programs that a command runs write to it directly
	stderr  io.Writer
	environ []string // NAME=value
	words   []string // of the command line, as they were given
	globals globals
	endedBy os.Signal // that ended the run, if the process shall look as if it had died of it
	sleep   func(time.Duration)
	notify  func(c chan<- os.Signal, signals ...os.Signal) // signal.Notify
	drills  drillEngine
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, environ []string) *app {
	return &app{
		stdin:   stdin,
		stdout:  bufio.NewWriterSize(stdout, 64<<10),
		output:  stdout,
		stderr:  stderr,
		environ: environ,
		sleep:   time.Sleep,
		notify:  signal.Notify,
		drills:  newDrillEngine(),
	}
}

// run executes one command line and returns the process's exit code.
func (a *app) run(args []string) int {
	a.words = args
	root := a.newRoot()
	root.SetArgs(args)
	err := explainUsage(root.Execute())
	if flushErr := a.stdout.Flush(); flushErr != nil && err == nil {
		err = failf(exitIO, "write output: %w", flushErr)
	}
	return report(a.stderr, err)
}

func (a *app) warnf(format string, args ...any) {
	fmt.Fprintf(a.stderr, "Warning: "+format+"\n", args...)
}

// program prepares a program to be run for the user: on our standard output and error, with more variables than we
// have ourselves. It reads no standard input, which may be ours to read.
func (a *app) program(words []string, environ ...string) *exec.Cmd {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = slices.Concat(a.environ, environ)
	cmd.Stdout, cmd.Stderr = a.output, a.stderr
	return cmd
}
