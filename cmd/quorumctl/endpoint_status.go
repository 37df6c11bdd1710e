package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

func (a *app) newEndpointStatus(cluster *bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show version, size, leader and raft progress of each endpoint",
		Long: `Show version, size, leader and raft progress of each endpoint.

The columns of the simple format are: endpoint, ID, version, storage version, db size, in use, percentage not in use,
quota, is leader, is learner, raft term, raft index, raft applied index, errors, downgrade target version, downgrade
enabled.`,
		Example: `  quorumctl endpoint status --cluster -w table
  quorumctl endpoint status --endpoints 10.0.0.1:2379,10.0.0.2:2379 -w json`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.newSurvey(cmd, cluster)
		if err != nil {
			return err
		}
		var list []output.Status
		failed := &failure{code: exitError} // its parts are reported as they happen, so it has no error of its own
		for _, ep := range s.targets {
			f := s.ask(ep, func(ctx context.Context, c *session) error {
				r, err := c.Status(ctx, ep)
				if err == nil {
					list = append(list, output.Status{Endpoint: ep, Response: r})
				}
				return err
			})
			if f != nil {
				if f.code != exitError {
					return f
				}
				fmt.Fprintf(a.stderr, "Failed to get the status of endpoint %s (%v)\n", ep, f.err)
				failed.hints = append(failed.hints, f.hints...)
			}
		}
		if err := s.Status(list); err != nil {
			return err
		}
		if len(list) < len(s.targets) {
			return failed
		}
		return nil
	}
	return cmd
}
