package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

func (a *app) newEndpointHashKV(cluster *bool) *cobra.Command {
	var rev int64
	cmd := &cobra.Command{
		Use:   "hashkv",
		Short: "Show each endpoint's hash over the history of all keys",
		Long: "Show each endpoint's hash over the history of all keys.\n\nMembers with the same history have the same " +
			"hash at the same revision.",
		Example: `  quorumctl endpoint hashkv --cluster
  quorumctl endpoint hashkv --cluster --rev 1042`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().Int64Var(&rev, "rev", 0, "hash up to this revision (0: the newest)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.newSurvey(cmd, cluster)
		if err != nil {
			return err
		}
		var list []output.HashKV
		var failed *failure
		var advice []string
		for _, ep := range s.targets {
			f := s.ask(ep, func(ctx context.Context, c *session) error {
				r, err := c.HashKV(ctx, ep, rev)
				if err == nil {
					list = append(list, output.HashKV{Endpoint: ep, Response: r})
				}
				return err
			})
			if f != nil {
				if f.code != exitError {
					return f
				}
				fmt.Fprintf(a.stderr, "Failed to get the hash of endpoint %s (%v)\n", ep, f.err)
				failed, advice = f, append(advice, f.hints...)
			}
		}
		if err := s.HashKV(list); err != nil {
			return err
		}
		if failed != nil {
			return &failure{code: exitError, err: failed.err, hints: advice}
		}
		return nil
	}
	return cmd
}
