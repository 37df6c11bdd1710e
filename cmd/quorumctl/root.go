package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The sections of `quorumctl help`.
const (
	groupKV          = "kv"
	groupCluster     = "cluster"
	groupConcurrency = "concurrency"
	groupUtility     = "utility"
)

func (a *app) newRoot() *cobra.Command {
	cobra.EnablePrefixMatching = true // `quorumctl comp 12` works, as with etcdctl
	root := &cobra.Command{
		Use:   "quorumctl",
		Short: "Talk to a QuorumKV cluster, or to any server of the etcd v3 API",
		Long: "quorumctl talks to a QuorumKV cluster, or to any server of the etcd v3 API.\n\n" +
			"It takes etcdctl's commands and flags and prints etcdctl's output. Every global flag can be set in the\n" +
			"environment as QUORUMCTL_<FLAG> or ETCDCTL_<FLAG>, for example QUORUMCTL_ENDPOINTS.",
		Example: `  quorumctl put greeting hello
  quorumctl get greeting
  quorumctl endpoint status --cluster -w table`,
		SilenceErrors: true, // report prints them, with hints
		SilenceUsage:  true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)

	a.globals.register(root)
	root.AddGroup(
		&cobra.Group{ID: groupKV, Title: "Keys and values:"},
		&cobra.Group{ID: groupCluster, Title: "Cluster:"},
		&cobra.Group{ID: groupConcurrency, Title: "Locks and elections:"},
		&cobra.Group{ID: groupUtility, Title: "Utilities:"},
	)
	root.SetHelpCommandGroupID(groupUtility)
	root.AddCommand(
		a.newPut(), a.newGet(), a.newDel(), a.newTxn(), a.newCompaction(), a.newWatch(), a.newLease(),
		a.newEndpoint(), a.newMember(), a.newMoveLeader(), a.newAlarm(), a.newDrill(), a.newRecover(),
		a.newLock(), a.newElect(),
		a.newMakeMirror(), a.newCheck(),
		a.newVersion(), a.newCompletion(), a.newOptions(),
	)

	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		help(cmd, args)
		fmt.Fprintln(cmd.OutOrStdout(), "\nUse \"quorumctl options\" for the flags that every command takes.")
	})
	return root
}

// parent makes a command that only holds others. A name that is none of theirs is an error: a script that calls a
// subcommand of a newer quorumctl must not take a page of help for success.
func parent(cmd *cobra.Command, children ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(children...)
	cmd.DisableFlagsInUseLine = true
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var names []string
		for _, c := range cmd.Commands() {
			if c.Hidden {
				continue
			}
			names = append(names, c.Name())
		}
		return failf(exitError, "unknown command %q for %q", args[0], cmd.CommandPath()).
			hint("its commands are: %s", strings.Join(names, ", "))
	}
	return cmd
}

// flagError says which flag is wrong, what was given and what is allowed. The first line is pflag's, as etcdctl's is.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	f := &failure{code: exitError, err: err}
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		if near := nearest(unknown.GetSpecifiedName(), flagNames(cmd)); near != "" {
			f.hint("did you mean --%s?", near)
		}
	case errors.As(err, &invalid):
		f.hint("--%s is %q; allowed: %s", invalid.GetFlag().Name, invalid.GetValue(),
			allowedText(invalid.GetFlag().Value.Type()))
	}
	return f.hint("see `%s --help`", cmd.CommandPath())
}

// explainUsage adds to cobra's own errors, which concern the name of a command, where to look.
func explainUsage(err error) error {
	var explained *failure
	if err == nil || errors.As(err, &explained) {
		return err
	}
	return failf(exitError, "%w", err).hint("see `quorumctl --help`")
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	slices.Sort(names)
	return names
}

func allowedText(kind string) string {
	switch kind {
	case "bool":
		return "true, false"
	case "duration":
		return "a duration such as 500ms, 5s or 1m"
	case "int", "int64":
		return "a whole number"
	default:
		return "a " + kind
	}
}
