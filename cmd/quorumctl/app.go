package main

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// app is one run of the program: the world it sees and the flags that every command takes.
type app struct {
	stdin   io.Reader
	stdout  *bufio.Writer // flushed at the end of the run and wherever a person is waiting
	stderr  io.Writer
	environ []string // NAME=value
	globals globals
	sleep   func(time.Duration)
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, environ []string) *app {
	return &app{
		stdin:   stdin,
		stdout:  bufio.NewWriterSize(stdout, 64<<10),
		stderr:  stderr,
		environ: environ,
		sleep:   time.Sleep,
	}
}

// run executes one command line and returns the process's exit code.
func (a *app) run(args []string) int {
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
