package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// askPassword reads a line without echo from a terminal, and any line otherwise. The prompt goes to standard error, so
// that it never ends up in a file together with the answer.
func (a *app) askPassword(prompt string) (string, error) {
	fmt.Fprint(a.stderr, prompt+": ")
	defer fmt.Fprintln(a.stderr)
	if f, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return readHidden(int(f.Fd()))
	}
	// One byte at a time: what follows the line belongs to the command, as the value of a put does.
	var line []byte
	for one := make([]byte, 1); ; {
		_, err := io.ReadFull(a.stdin, one)
		if errors.Is(err, io.EOF) || err == nil && one[0] == '\n' {
			return strings.TrimSpace(string(line)), nil
		}
		if err != nil {
			return "", err
		}
		line = append(line, one[0])
	}
}

// readHidden reads a line from a terminal without echo. Whoever interrupts it gets the echo back.
func readHidden(terminal int) (string, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return "", err
	}
	interrupted := make(chan os.Signal, 1) // sent by the runtime; one is enough, for the first ends the process
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() { // ends with this function
		defer close(watched)
		select {
		case <-interrupted:
			term.Restore(terminal, before)
			os.Exit(exitInterrupted)
		case <-done:
		}
	}()
	password, err := term.ReadPassword(terminal)
	signal.Stop(interrupted)
	close(done)
	<-watched
	return strings.TrimSpace(string(password)), err
}
