package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
	"github.com/quorumkv/quorumkv/internal/drill"
)

// Exit codes of drills, which etcdctl does not have. A signal that stops one is 128 and its number, as in shells.
const (
	exitDrillFailed = 1 // a promise was broken or a mark missed
	exitNoDrill     = 2 // the drill could not be run
)

const drillHelp = `Rehearse what production will do to a cluster, and prove from what clients saw that nothing was lost.

A drill loads the cluster, injects a fault, heals it, checks all that its clients saw for lost writes, stale reads and other
broken promises, and writes a report. It works on a throw-away cluster of its own (--local 3), or on a running one, in
which case the servers must have been started with --enable-drills; there it writes only below a prefix of its own, which it
empties again, and its faults end by themselves whatever becomes of it.

The exit code is 0 when the drill is passed, 1 when a promise was broken or a mark missed, 2 when it could not be run.`

const drillExamples = `  quorumctl drill list
  quorumctl drill run failover --local 3
  quorumctl drill failover --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379 --rounds 5`

func (a *app) newDrill() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "drill <subcommand or name of a drill>",
		Short:   "Rehearse failures, and prove that nothing was lost",
		Long:    drillHelp,
		Example: drillExamples,
		GroupID: groupCluster,
	}
	cmd.AddGroup(&cobra.Group{ID: groupDrillCommands, Title: "Commands:"}, &cobra.Group{ID: groupDrills, Title: "Drills:"})
	cmd.AddCommand(a.newDrillList(), a.newDrillRun(), a.newDrillCheck())
	for _, s := range a.drills.scenarios() {
		cmd.AddCommand(a.newDrillNamed(s))
	}
	cmd.DisableFlagsInUseLine = true
	cmd.SetFlagErrorFunc(a.drillFlagError)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return a.unknownDrill(args[0])
	}
	return cmd
}

const (
	groupDrillCommands = "commands"
	groupDrills        = "drills"
)

// drillFlagError complains of the name of a drill that is not there before it does of flags that only drills have.
func (a *app) drillFlagError(cmd *cobra.Command, err error) error {
	if cmd.Name() == "drill" && cmd.Flags().NArg() > 0 {
		return a.unknownDrill(cmd.Flags().Arg(0))
	}
	return cannotDrill(flagError(cmd, err))
}

// cannotDrill makes an error, with all advice, one line, and its exit code that of a drill that could not be run, unless the
// error says how a drill ended.
func cannotDrill(err error) error {
	if err == nil {
		return nil
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{err: err}
	}
	if f.err == nil || f.code > exitBadArgs { // printed already, or ended by a signal
		return f
	}
	text := strings.Join(append([]string{f.err.Error()}, f.hints...), "; ")
	return failf(exitNoDrill, "%s", strings.Join(strings.Fields(text), " "))
}

// drillError is cannotDrill for all that a command returns.
func drillError(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error { return cannotDrill(run(cmd, args)) }
}

func (a *app) findDrill(name string) (drill.Scenario, error) {
	for _, s := range a.drills.scenarios() {
		if s.Name == name {
			return s, nil
		}
	}
	return drill.Scenario{}, a.unknownDrill(name)
}

func (a *app) unknownDrill(name string) error {
	f := failf(exitNoDrill, "unknown drill %q", name)
	if near := nearestOf(name, a.drillNames()); len(near) > 0 {
		return f.because("%w; did you mean %s? `quorumctl drill list` shows all", f.err, strings.Join(near, " or "))
	}
	return f.because("%w; there are %s", f.err, strings.Join(a.drillNames(), ", "))
}

func (a *app) drillNames() []string {
	var names []string
	for _, s := range a.drills.scenarios() {
		names = append(names, s.Name)
	}
	return names
}

func (a *app) newDrillList() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List all drills",
		Long:  "List all drills: what each needs and does. JSON has also what passing proves and what not, and the marks.",
		Example: `  quorumctl drill list
  quorumctl drill list -w json`,
		GroupID:           groupDrillCommands,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.RunE = drillError(func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("drill list takes no arguments, not %q", args[0])
		}
		printer, _, err := prepare(a, cmd, output.NewDrills)
		if err != nil {
			return err
		}
		list := []output.Drill{}
		for _, s := range a.drills.scenarios() {
			list = append(list, output.Drill{Name: s.Name, Title: s.Title, Short: s.Short, Does: s.Does, Proves: s.Proves,
				NotProved: s.NotProved, Marks: s.Marks, NeedsProcesses: s.NeedsProcesses})
		}
		return printer.Drills(list)
	})
	return cmd
}
