package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
	"github.com/quorumkv/quorumkv/internal/env"
)

// Exit codes of the commands that work on the files of a member that does not run.
const (
	exitDamaged = 1 // something is damaged
	exitOffline = 2 // the command could not do its work
)

// asServersUser is the hint for files that must not be read.
const asServersUser = "run it as the user that the server runs as"

// offline makes exitOffline of whatever error a command ends with that has no better word for it.
func offline(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		var f *failure
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &f):
			return failf(exitOffline, "%w", err)
		case f.err != nil:
			return f.exit(exitOffline)
		}
		return f
	}
}

// prepareOffline applies the environment and makes the printer. The flags that concern servers mean nothing here.
func (a *app) prepareOffline(cmd *cobra.Command) (output.Report, error) {
	if err := a.applyEnviron(cmd); err != nil {
		return output.Report{}, err
	}
	p, err := output.NewReport(output.Config{Out: a.stdout, Err: a.stderr, Format: a.globals.format, Hex: a.globals.hex})
	if err != nil {
		return p, formatError(err, a.globals.format)
	}
	return p, nil
}

// openDataDir opens a data directory for reading, and keeps servers out of it until it is closed.
func openDataDir(dir string) (*env.ReadOnly, error) {
	r, err := env.OpenReadOnly(dir)
	switch {
	case errors.Is(err, env.ErrInUse):
		return nil, failf(exitOffline, "%w", err).
			hint("a server runs on %s; stop it first, or ask it: quorumctl endpoint status", dir)
	case errors.Is(err, fs.ErrNotExist):
		return nil, failf(exitOffline, "%w", err).hint("it is what the server's --data-dir says")
	case errors.Is(err, fs.ErrPermission):
		return nil, failf(exitOffline, "%w", err).hint("%s", asServersUser)
	case err != nil:
		return nil, failf(exitOffline, "%w", err)
	}
	return r, nil
}

// oneDir is the argument of an offline command.
func oneDir(cmd *cobra.Command, args []string) (string, error) {
	if len(args) != 1 {
		return "", fmt.Errorf("%s takes one argument, the data directory of a member, not %d", cmd.CommandPath(), len(args))
	}
	return args[0], nil
}
