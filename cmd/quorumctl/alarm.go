package main

import (
	"github.com/spf13/cobra"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

func (a *app) newAlarm() *cobra.Command {
	return parent(&cobra.Command{
		Use:   "alarm <subcommand>",
		Short: "Show or clear what is wrong with members",
		Long: "Show or clear what is wrong with members.\n\nNOSPACE: the disk of a member is nearly full, and the cluster " +
			"takes no writes but those that free space. Members of QuorumKV clear it when there is space again.",
		Example: `  quorumctl alarm list
  quorumctl alarm disarm`,
		GroupID: groupCluster,
	}, a.newAlarmList(), a.newAlarmDisarm())
}

func (a *app) newAlarmList() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "List the alarms that are raised",
		Long:              "List the alarms that are raised. Nothing is printed when there are none.",
		Example:           `  quorumctl alarm list -w fields`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.runAlarm(cmd, args, func(s *session) (*clientv3.AlarmResponse, error) {
			ctx, cancel := s.context()
			defer cancel()
			return s.AlarmList(ctx)
		})
	}
	return cmd
}

func (a *app) newAlarmDisarm() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disarm",
		Short: "Clear all alarms, and list those that were raised",
		Long: "Clear all alarms, and list those that were raised.\n\nA member whose disk is still full raises its alarm again " +
			"within a second.",
		Example:           `  quorumctl alarm disarm`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.runAlarm(cmd, args, func(s *session) (*clientv3.AlarmResponse, error) {
			ctx, cancel := s.context()
			defer cancel()
			return s.AlarmDisarm(ctx, &clientv3.AlarmMember{})
		})
	}
	return cmd
}

func (a *app) runAlarm(cmd *cobra.Command, args []string, call func(*session) (*clientv3.AlarmResponse, error)) error {
	if len(args) != 0 {
		return failf(exitBadArgs, "alarm %s command accepts no arguments", cmd.Name()).
			hint("it concerns all alarms of the cluster: quorumctl alarm %s", cmd.Name())
	}
	printer, s, err := connect(a, cmd, output.NewAlarms)
	if err != nil {
		return err
	}
	defer s.Close()
	r, err := call(s)
	if err != nil {
		return s.explain(err)
	}
	return printer.Alarms(r)
}
