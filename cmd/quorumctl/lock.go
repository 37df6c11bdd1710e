package main

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"

	"github.com/spf13/cobra"

	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

const lockHelp = `Acquire a named lock, waiting for it as long as it takes.

With a command, the lock is held while the command runs; the exit code is the command's. It is told about the lock by
  ETCD_LOCK_KEY    the key whose existence is the lock
  ETCD_LOCK_REV    the revision at which it was acquired
A command with flags of its own needs -- before it.

Without a command, the key of the lock is printed, and the lock is held until the command is interrupted.

The lock belongs to a lease of --ttl seconds that is renewed all the time. If no server can be reached for so long, the
lock is lost, and another may acquire it.`

func (a *app) newLock() *cobra.Command {
	ttl := 10
	cmd := &cobra.Command{
		Use:   "lock [options] <lockname> [command [argument...]]",
		Short: "Hold a lock, as long as a command runs",
		Long:  lockHelp,
		Example: `  quorumctl lock nightly -- echo "nobody else does this now"
  quorumctl lock nightly --ttl 60`,
		GroupID: groupConcurrency,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	cmd.SetFlagErrorFunc(lockFlagError)
	cmd.Flags().IntVar(&ttl, "ttl", ttl, "seconds after which the lock is free when its holder cannot be reached")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return failf(exitBadArgs, "lock takes a lock name argument and an optional command to execute").
				hint("for example: quorumctl lock nightly -- pg_dump inventory")
		}
		printer, s, err := connect(a, cmd, output.NewKV)
		if err != nil {
			return err
		}
		defer s.Close()
		if ttl <= 0 {
			a.warnf("--ttl is %d; allowed: a positive number of seconds. %d are used", ttl, defaultTTL)
			ttl = defaultTTL
		}
		stop := a.untilSignal()
		defer stop.release()
		claim, err := s.claim(stop.ctx, ttl)
		if err != nil {
			return err
		}
		defer s.release(claim)
		return a.hold(s, claim, args[0], args[1:], printer, stop)
	}
	return cmd
}

// lockFlagError is flagError, with the way out for who meant the flag for the command.
func lockFlagError(cmd *cobra.Command, err error) error {
	err = flagError(cmd, err)
	var f *failure
	if errors.As(err, &f) && cmd.Flags().NArg() > 1 {
		return f.hint("a command with flags of its own needs -- before it: quorumctl lock %s -- %s ...",
			cmd.Flags().Arg(0), cmd.Flags().Arg(1))
	}
	return err
}

// hold acquires the lock and keeps it until the command has run or, without one, until the user has enough.
func (a *app) hold(s *session, claim *concurrency.Session, name string, command []string, printer output.KV,
	stop *stopSignal) error {
	lock := concurrency.NewMutex(claim, name)
	if err := lock.Lock(stop.ctx); err != nil {
		return s.explain(err)
	}
	var err error
	if len(command) > 0 {
		err = a.runLocked(lock, claim, command, stop)
	} else {
		err = a.waitLocked(s, lock, claim, printer, stop)
	}
	ctx, cancel := s.context()
	defer cancel()
	if unlockErr := lock.Unlock(ctx); unlockErr != nil && err == nil {
		return s.explain(unlockErr).hint("the lock is free when its lease has expired")
	}
	return err
}

func (a *app) waitLocked(s *session, lock *concurrency.Mutex, claim *concurrency.Session, printer output.KV,
	stop *stopSignal) error {
	if err := a.printKey(s, stop.ctx, lock.Key(), printer, "lock lost on init"); err != nil {
		return err
	}
	select {
	case <-stop.ctx.Done():
		return nil
	case <-claim.Done():
		return failf(exitError, "session expired").hint("the lock is lost: its lease could not be renewed")
	}
}

// runLocked runs a command while the lock is held. A terminal sends its interrupt to the command too; a SIGTERM that
// only we get is passed on, since whoever sent it wants an end of all this.
func (a *app) runLocked(lock *concurrency.Mutex, claim *concurrency.Session, words []string, stop *stopSignal) error {
	cmd := a.program(words, "ETCD_LOCK_KEY="+lock.Key(), fmt.Sprintf("ETCD_LOCK_REV=%d", lock.Header().GetRevision()))
	if err := cmd.Start(); err != nil {
		return failf(exitError, "%w", err).hint("the command is %q; nothing was run", words[0])
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stopped, lost := stop.ctx.Done(), claim.Done()
	for {
		select {
		case <-stopped:
			stopped = nil
			if stop.got == syscall.SIGTERM {
				cmd.Process.Signal(syscall.SIGTERM)
			}
		case <-lost:
			lost = nil
			a.warnf("the lock is lost while the command still runs: its lease could not be renewed")
		case err := <-ended:
			return commandFailure(err)
		}
	}
}

// commandFailure makes the exit code of a command ours.
func commandFailure(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return failf(exit.ExitCode(), "%w", err) // -1, which becomes 255, after a signal
	}
	if err != nil {
		return failf(exitError, "%w", err)
	}
	return nil
}
