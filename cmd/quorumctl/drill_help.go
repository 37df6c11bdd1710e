package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quorumkv/quorumkv/internal/drill"
)

const drillRunHelp = `Run a drill: load a cluster, inject the fault, heal it, and judge what clients saw.

On a terminal its progress is shown as a picture, elsewhere as lines. Ctrl-C ends the drill early: it heals the cluster and
judges what there is. A second one leaves at once; then faults end by themselves.

The report's folder holds report.html, for people, report.json, for scripts, and history.jsonl.gz, all that was recorded,
which can be judged again with "quorumctl drill check"; with --local the members' logs too.

The exit code is 0 when the drill is passed, 1 when a promise was broken or a mark missed, 2 when it could not be run, and
130 when Ctrl-C ended it before anything was broken.`

func (a *app) newDrillRun() *cobra.Command {
	var f drillFlags
	cmd := &cobra.Command{
		Use:   "run [options] <name>",
		Short: "Run a drill",
		Long:  drillRunHelp,
		Example: `  quorumctl drill run failover --local 3
  quorumctl drill run split-brain --local 5 --rounds 2 --report rehearsal
  quorumctl drill run failover --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379 --json > report.json`,
		GroupID:               groupDrillCommands,
		DisableFlagsInUseLine: true,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, s := range a.drills.scenarios() {
				names = append(names, s.Name+"\t"+s.Short)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	f.register(cmd)
	cmd.RunE = drillError(func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("drill run takes the name of a drill: %s", strings.Join(a.drillNames(), ", "))
		}
		s, err := a.findDrill(args[0])
		if err != nil {
			return err
		}
		if len(args) > 1 {
			return fmt.Errorf("drill run takes the name of one drill, and nothing else: what is %q?", args[1])
		}
		return a.runDrill(cmd, f, s)
	})
	return cmd
}

// newDrillNamed is `drill run NAME` as a command of its own, with a help page that explains the drill.
func (a *app) newDrillNamed(s drill.Scenario) *cobra.Command {
	var f drillFlags
	example := fmt.Sprintf("  quorumctl drill %[1]s --local 3\n  quorumctl drill %[1]s --local 5 --rounds 2 --report rehearsal",
		s.Name)
	if !s.NeedsProcesses {
		example += fmt.Sprintf("\n  quorumctl drill %s --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379", s.Name)
	}
	cmd := &cobra.Command{
		Use:                   s.Name + " [options]",
		Short:                 s.Short,
		Long:                  explainDrill(s),
		Example:               example,
		GroupID:               groupDrills,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     cobra.NoFileCompletions,
	}
	f.register(cmd)
	cmd.RunE = drillError(func(cmd *cobra.Command, args []string) error {
		if !slices.Contains(a.words, s.Name) { // a slip must do no harm: `drill fail` finds no drill, where cobra finds one
			return fmt.Errorf("a drill has to be named in full: quorumctl drill %s", s.Name)
		}
		if len(args) > 0 {
			return fmt.Errorf("drill %s takes flags only, not %q; see `quorumctl drill %s --help`", s.Name, args[0], s.Name)
		}
		return a.runDrill(cmd, f, s)
	})
	return cmd
}

// explainDrill is the help of a scenario, from its own words.
func explainDrill(s drill.Scenario) string {
	var b strings.Builder
	b.WriteString(s.Title + ".\n")
	section := func(title, text string) {
		if text != "" {
			fmt.Fprintf(&b, "\n%s:\n%s\n", title, wrap(text, "  ", "  "))
		}
	}
	section("What it does", s.Does)
	section("What passing proves", s.Proves)
	section("What it does not prove", s.NotProved)
	b.WriteString("\nIt is passed when no promise is broken")
	if len(s.Marks) > 0 {
		b.WriteString(", and these marks are kept")
	}
	b.WriteString(":\n")
	marks := s.Marks
	if len(marks) == 0 {
		marks = []string{"linearizability, no lost write, no stale read, complete watches, equal members"}
	}
	for _, m := range marks {
		b.WriteString(wrap(m, "  - ", "    ") + "\n")
	}
	if s.NeedsProcesses {
		b.WriteString("\n" + wrap("It stops or kills members, and so needs a cluster of its own: --local 3 or --local 5.", "", ""))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// helpWidth is that of the help pages.
const helpWidth = 100

// wrap breaks a text into lines between words. first stands before the first line, others before the others.
func wrap(text, first, others string) string {
	var lines []string
	line := first
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+1+len(word) > helpWidth {
			lines = append(lines, line)
			line = others + word
			continue
		}
		if strings.TrimSpace(line) != "" && i > 0 {
			line += " "
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n")
}
