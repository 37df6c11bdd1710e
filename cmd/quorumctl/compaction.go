package main

import (
	"strconv"

	"github.com/spf13/cobra"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

func (a *app) newCompaction() *cobra.Command {
	var physical bool
	cmd := &cobra.Command{
		Use:   "compaction [options] <revision>",
		Short: "Drop the history of keys before a revision",
		Long: "Drop the history of keys before a revision.\n\nReads as of older revisions fail from then on. The newest " +
			"value of every key stays.",
		Example: `  quorumctl compaction 1042
  quorumctl compaction 1042 --physical --command-timeout 1m`,
		GroupID:           groupKV,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVar(&physical, "physical", false, "wait until the old revisions are gone from the server's disk")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return failf(exitBadArgs, "compaction command needs 1 argument").
				hint("for example: quorumctl compaction 1042; `quorumctl get KEY -w fields` shows the current revision")
		}
		revision, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil {
			return failf(exitError, "%w", err).hint("the revision is %q; allowed: a whole number", args[0])
		}
		printer, s, err := connect(a, cmd, output.NewText)
		if err != nil {
			return err
		}
		defer s.Close()
		var opts []clientv3.CompactOption
		if physical {
			opts = append(opts, clientv3.WithCompactPhysical())
		}
		ctx, cancel := s.context()
		defer cancel()
		if _, err := s.Compact(ctx, revision, opts...); err != nil {
			return s.explainWrite(err)
		}
		return printer.Compaction(revision)
	}
	return cmd
}
