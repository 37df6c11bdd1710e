package main

import (
	"github.com/spf13/cobra"

	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

const electHelp = `Stand for election, or observe who is elected.

With a proposal, the command waits until it is elected, prints its key and its proposal, and leads until it is
interrupted. With -l it prints the key and the proposal of every leader, the present one first.

Leadership belongs to a lease of 60 seconds that is renewed all the time. If no server can be reached for so long, the
next candidate leads.`

func (a *app) newElect() *cobra.Command {
	var listen bool
	cmd := &cobra.Command{
		Use:   "elect [options] <election-name> [proposal]",
		Short: "Stand for election, or observe one",
		Long:  electHelp,
		Example: `  quorumctl elect scheduler host-17
  quorumctl elect -l scheduler`,
		GroupID:           groupConcurrency,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVarP(&listen, "listen", "l", false, "observe the election, without a proposal")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		const example = "for example: quorumctl elect scheduler host-17; to observe: quorumctl elect -l scheduler"
		switch {
		case len(args) != 1 && len(args) != 2:
			return failf(exitBadArgs, "elect takes one election name argument and an optional proposal argument").hint(example)
		case len(args) == 1 && !listen:
			return failf(exitBadArgs, "no proposal argument but -l not set").hint(example)
		case len(args) == 2 && listen:
			return failf(exitBadArgs, "proposal given but -l is set").hint(example)
		}
		printer, s, err := connect(a, cmd, output.NewKV)
		if err != nil {
			return err
		}
		defer s.Close()
		stop := a.untilSignal()
		defer stop.release()
		claim, err := s.claim(stop.ctx, defaultTTL)
		if err != nil {
			return err
		}
		defer s.release(claim)
		election := concurrency.NewElection(claim, args[0])
		if listen {
			return a.observe(election, printer, stop)
		}
		return a.campaign(s, election, args[1], printer, stop, claim.Done())
	}
	return cmd
}

// observe prints leaders until the user has enough.
func (a *app) observe(election *concurrency.Election, printer output.KV, stop *stopSignal) error {
	for leader := range election.Observe(stop.ctx) {
		if err := printer.Get(leader); err != nil {
			return err
		}
		if err := a.stdout.Flush(); err != nil {
			return err
		}
	}
	if stop.ctx.Err() == nil {
		return failf(exitError, "elect: observer lost").hint("the watch of the election ended; is the cluster healthy?")
	}
	return nil
}

// campaign waits to be elected and leads until the user has enough.
func (a *app) campaign(s *session, election *concurrency.Election, proposal string, printer output.KV,
	stop *stopSignal, lost <-chan struct{}) error {
	if err := election.Campaign(stop.ctx, proposal); err != nil {
		return s.explain(err)
	}
	const expired = "elect: session expired"
	if err := a.printKey(s, stop.ctx, election.Key(), printer, expired); err != nil {
		return err // the end of the lease is the end of the leadership
	}
	select {
	case <-stop.ctx.Done():
	case <-lost:
		return failf(exitError, expired).hint("the leadership is lost: its lease could not be renewed")
	}
	ctx, cancel := s.context()
	defer cancel()
	if err := election.Resign(ctx); err != nil {
		return s.explain(err).hint("the next candidate leads after 60s at the latest")
	}
	return nil
}
