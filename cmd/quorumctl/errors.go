package main

import (
	"errors"
	"fmt"
	"io"
)

// Exit codes, as etcdctl's scripts know them.
const (
	exitError         = 1   // the server said no, or no answer came
	exitBadConnection = 2   // no client could be made: bad limits, or authentication failed
	exitInvalidInput  = 3   // standard input does not follow the grammar of txn or watch; a check found keys
	exitBadFeature    = 4   // a flag is known, its value is not
	exitInterrupted   = 5   // stopped by a signal at a password or in a check; a watch that the server ended
	exitIO            = 6   // the answer could not be written
	exitBadArgs       = 128 // wrong arguments
)

// failure is an error with its exit code and with what the user can do about it.
type failure struct {
	code  int
	err   error // nil when the command has already reported what went wrong
	hints []string
}

func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit code %d", f.code)
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

func failf(code int, format string, args ...any) *failure {
	return &failure{code: code, err: fmt.Errorf(format, args...)}
}

// hint adds a line of advice below the error.
func (f *failure) hint(format string, args ...any) *failure {
	f.hints = append(f.hints, fmt.Sprintf(format, args...))
	return f
}

// because replaces the message and keeps the exit code and the advice.
func (f *failure) because(format string, args ...any) *failure {
	f.err = fmt.Errorf(format, args...)
	return f
}

// exit replaces the exit code.
func (f *failure) exit(code int) *failure {
	f.code = code
	return f
}

// badValue is a flag's value that is none of those allowed. The message is the part that etcdctl prints too.
func badValue(message, flag, value, allowed string) error {
	return failf(exitBadFeature, "%s", message).hint("--%s is %q; allowed: %s", flag, value, allowed)
}

// report prints err and returns the exit code for it.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{code: exitError, err: err}
	}
	if f.err != nil {
		fmt.Fprintln(stderr, "Error:", f.err)
	}
	for _, h := range f.hints {
		fmt.Fprintln(stderr, "Hint:", h)
	}
	return f.code
}
