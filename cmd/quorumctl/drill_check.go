package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	drillcheck "github.com/quorumkv/quorumkv/internal/drill/check"
	"github.com/quorumkv/quorumkv/internal/drill/history"
	drillreport "github.com/quorumkv/quorumkv/internal/drill/report"
)

const drillCheckHelp = `Judge what a drill recorded, again: every promise that the drill has checked, but not its marks.

The argument is the folder of a drill's report, or its file history.jsonl.gz. No server is asked. The exit code is 0 when
every promise was kept, 1 when one was broken, 2 when the history cannot be read.`

func (a *app) newDrillCheck() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [options] <folder or file>",
		Short: "Judge again what a drill recorded",
		Long:  drillCheckHelp,
		Example: `  quorumctl drill check drill-failover-20261126-153012
  quorumctl drill check drill-failover-20261126-153012/history.jsonl.gz --json`,
		GroupID:               groupDrillCommands,
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the checks, and all that shows a violation, as JSON")
	cmd.RunE = drillError(func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("drill check takes one argument, the folder of a drill's report, not %d", len(args))
		}
		h, err := readHistory(args[0])
		if err != nil {
			return err
		}
		result := a.drills.judge(h)
		if err := a.printJudgement(result, asJSON); err != nil {
			return err
		}
		if len(result.Violations) > 0 {
			return &failure{code: exitDrillFailed}
		}
		return nil
	})
	return cmd
}

func (a *app) printJudgement(r drillcheck.Result, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			Checks     []drillreport.Check `json:"checks"`
			Violations []history.Violation `json:"violations"`
		}{orEmpty(r.Checks), orEmpty(r.Violations)})
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, c := range r.Checks {
		verdict := "kept"
		switch {
		case c.Violations == 1:
			verdict = "BROKEN once"
		case c.Violations > 1:
			verdict = fmt.Sprintf("BROKEN %d times", c.Violations)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Promise, verdict, c.Looked)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, v := range r.Violations {
		fmt.Fprintf(a.stdout, "\n%s: %s\n", v.Promise, drillreport.Visible(v.Text)) // it quotes the history, a file of anybody's
	}
	return nil
}

// orEmpty makes JSON's null an empty list.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
