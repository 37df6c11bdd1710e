package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/connectivity"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

func (a *app) newLease() *cobra.Command {
	return parent(&cobra.Command{
		Use:   "lease",
		Short: "Grant, renew, revoke and look at leases",
		Long: "Grant, renew, revoke and look at leases.\n\n" +
			"A lease is a time to live that keys can be attached to: when it ends, they are deleted.",
		Example: `  quorumctl lease grant 60`,
		GroupID: groupKV,
	}, a.newLeaseGrant(), a.newLeaseRevoke(), a.newLeaseTimeToLive(), a.newLeaseList(), a.newLeaseKeepAlive())
}

func (a *app) newLeaseGrant() *cobra.Command {
	return &cobra.Command{
		Use:   "grant <ttl>",
		Short: "Create a lease of so many seconds",
		Long: "Create a lease of so many seconds and print its id.\n\nServers raise a time that is shorter than an election " +
			"takes.",
		Example:               `  quorumctl lease grant 60`,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return failf(exitBadArgs, "lease grant command needs TTL argument").hint("for example: quorumctl lease grant 60")
			}
			ttl, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return failf(exitBadArgs, "bad TTL (%w)", err).hint("the TTL is %q; allowed: a whole number of seconds", args[0])
			}
			printer, s, err := connect(a, cmd, output.NewLeases)
			if err != nil {
				return err
			}
			defer s.Close()
			ctx, cancel := s.context()
			defer cancel()
			r, err := s.Grant(ctx, ttl)
			if err != nil {
				return s.explainWrite(err).because("failed to grant lease (%w)", err)
			}
			return printer.Grant(r)
		},
	}
}

func (a *app) newLeaseRevoke() *cobra.Command {
	return &cobra.Command{
		Use:                   "revoke <leaseID>",
		Short:                 "End a lease and delete its keys",
		Long:                  "End a lease and delete the keys that are attached to it.",
		Example:               `  quorumctl lease revoke 694d8f1c0a2b3c01`,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := leaseArgument(args, "lease revoke command needs 1 argument")
			if err != nil {
				return err
			}
			printer, s, err := connect(a, cmd, output.NewLeases)
			if err != nil {
				return err
			}
			defer s.Close()
			ctx, cancel := s.context()
			defer cancel()
			r, err := s.Revoke(ctx, id)
			if err != nil {
				return s.explainWrite(err).because("failed to revoke lease (%w)", err)
			}
			return printer.Revoke(id, r)
		},
	}
}

func (a *app) newLeaseTimeToLive() *cobra.Command {
	var keys bool
	cmd := &cobra.Command{
		Use:   "timetolive <leaseID> [options]",
		Short: "Show how long a lease has left",
		Long:  "Show how long a lease has left, and with --keys which keys are attached to it.",
		Example: `  quorumctl lease timetolive 694d8f1c0a2b3c01
  quorumctl lease timetolive 694d8f1c0a2b3c01 --keys`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&keys, "keys", false, "also print the keys that are attached to the lease")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := leaseArgument(args, "lease timetolive command needs lease ID as argument")
		if err != nil {
			return err
		}
		printer, s, err := connect(a, cmd, output.NewLeases)
		if err != nil {
			return err
		}
		defer s.Close()
		var opts []clientv3.LeaseOption
		if keys {
			opts = append(opts, clientv3.WithAttachedKeys())
		}
		ctx, cancel := s.context()
		defer cancel()
		r, err := s.TimeToLive(ctx, id, opts...)
		if err != nil {
			return s.explain(err).exit(exitBadConnection)
		}
		return printer.TimeToLive(r, keys)
	}
	return cmd
}

func (a *app) newLeaseList() *cobra.Command {
	return &cobra.Command{
		Use:                   "list",
		Short:                 "List the ids of all leases",
		Long:                  "List the ids of all leases, those that end first at the top.",
		Example:               `  quorumctl lease list`,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			printer, s, err := connect(a, cmd, output.NewLeases)
			if err != nil {
				return err
			}
			defer s.Close()
			ctx, cancel := s.context()
			defer cancel()
			r, err := s.Leases(ctx)
			if err != nil {
				return s.explain(err).exit(exitBadConnection)
			}
			return printer.Leases(r)
		},
	}
}

func (a *app) newLeaseKeepAlive() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "keep-alive [options] <leaseID>",
		Short: "Renew a lease, again and again",
		Long:  "Renew a lease, again and again, until it is gone or the command is stopped.",
		Example: `  quorumctl lease keep-alive 694d8f1c0a2b3c01
  quorumctl lease keep-alive --once 694d8f1c0a2b3c01`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&once, "once", false, "renew the lease once and return")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := leaseArgument(args, "lease keep-alive command needs lease ID as argument")
		if err != nil {
			return err
		}
		printer, s, err := connect(a, cmd, output.NewLeases)
		if err != nil {
			return err
		}
		defer s.Close()
		if !once {
			return a.keepAlive(s, id, printer)
		}
		ctx, cancel := s.context()
		defer cancel()
		r, err := s.KeepAliveOnce(ctx, id)
		if err != nil {
			return s.explain(err).exit(exitBadConnection)
		}
		return printer.KeepAlive(r)
	}
	return cmd
}

// keepAlive prints every renewal until the client library gives up: because the lease is gone, or because no server
// answered for as long as it lasts.
func (a *app) keepAlive(s *session, id clientv3.LeaseID, printer output.Leases) error {
	renewals, err := s.KeepAlive(context.Background(), id)
	if err != nil {
		return s.explain(err).exit(exitBadConnection)
	}
	for r := range renewals {
		if err := printer.KeepAlive(r); err != nil {
			return err
		}
		if err := a.stdout.Flush(); err != nil {
			return err
		}
	}
	if s.ActiveConnection().GetState() != connectivity.Ready {
		a.warnf("there is no connection to a server: the lease is not renewed any more, and ends when its time is over")
	}
	return printer.Ended(id)
}

// leaseArgument reads the only argument of a command, a lease id in hexadecimal.
func leaseArgument(args []string, usage string) (clientv3.LeaseID, error) {
	if len(args) != 1 {
		return 0, failf(exitBadArgs, "%s", usage).hint("`quorumctl lease list` shows the ids of all leases")
	}
	id, err := strconv.ParseInt(args[0], 16, 64)
	if err != nil {
		return 0, failf(exitBadArgs, "bad lease ID arg (%w), expecting ID in Hex", err).
			hint("the id is %q; allowed: a hexadecimal id such as 694d8f1c0a2b3c01", args[0])
	}
	return clientv3.LeaseID(id), nil
}
