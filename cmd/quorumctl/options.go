package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) newOptions() *cobra.Command {
	return &cobra.Command{
		Use:   "options",
		Short: "Show the flags that every command takes",
		Long: "Show the flags that every command takes.\n\nEach can be set in the environment: --command-timeout as " +
			"QUORUMCTL_COMMAND_TIMEOUT or\nETCDCTL_COMMAND_TIMEOUT, for example. A flag wins over the environment, and " +
			"QUORUMCTL_ over ETCDCTL_.",
		Example:           `  quorumctl options`,
		GroupID:           groupUtility,
		ValidArgsFunction: cobra.NoFileCompletions,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(a.stdout, "The flags that every command takes:")
			fmt.Fprintln(a.stdout)
			fmt.Fprint(a.stdout, globalUsages(cmd.Root()))
		},
	}
}

// globalUsages describes the global flags, which are hidden everywhere else.
func globalUsages(root *cobra.Command) string {
	shown := pflag.NewFlagSet("global", pflag.ContinueOnError)
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) {
		visible := *f
		visible.Hidden = false
		shown.AddFlag(&visible)
	})
	return shown.FlagUsages()
}
