package main

import (
	"github.com/spf13/cobra"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

func (a *app) newMember() *cobra.Command {
	return parent(&cobra.Command{
		Use:     "member <subcommand>",
		Short:   "Show who belongs to the cluster",
		Long:    "Show who belongs to the cluster.",
		Example: `  quorumctl member list -w table`,
		GroupID: groupCluster,
	}, a.newMemberList())
}

func (a *app) newMemberList() *cobra.Command {
	var consistency string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the members of the cluster",
		Long: "List the members of the cluster.\n\nThe columns of the simple format are: ID, Status, Name, Peer Addrs, " +
			"Client Addrs, Is Learner.",
		Example: `  quorumctl member list
  quorumctl member list -w json --hex
  quorumctl member list --consistency s`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&consistency, "consistency", "l", consistencyUsage)
	completeFlag(cmd, "consistency", "l", "s")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		serializable, err := parseConsistency(consistency)
		if err != nil {
			return err
		}
		printer, s, err := connect(a, cmd, output.NewMembers)
		if err != nil {
			return err
		}
		defer s.Close()
		var opts []clientv3.OpOption
		if serializable {
			opts = append(opts, clientv3.WithSerializable())
		}
		ctx, cancel := s.context()
		defer cancel()
		r, err := s.MemberList(ctx, opts...)
		if err != nil {
			return s.explain(err)
		}
		return printer.MemberList(r)
	}
	return cmd
}
