package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/live"
	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/drill/history"
	drillreport "github.com/quorumkv/quorumkv/internal/drill/report"
)

// runDrill runs a drill from its flags to its exit code.
func (a *app) runDrill(cmd *cobra.Command, f drillFlags, s drill.Scenario) error {
	if err := f.check(cmd.Flags(), s); err != nil {
		return err
	}
	set, err := a.drillSettings(cmd, &f)
	if err != nil {
		return err
	}
	options := f.options(cmd, s)
	folder, err := newDrillFolder(f.report, s.Name)
	if err != nil {
		return err
	}
	r := &drillRun{app: a, flags: f, scenario: s, options: options, settings: set, stop: a.untilSignals(), view: a.drillView()}
	defer r.stop.release()
	defer r.view.Close()
	out, err := r.execute(folder)
	if err != nil {
		folder.abandon()
		return folder.mention(err)
	}
	r.view.Close()
	return r.deliver(out, folder)
}

// drillSettings are those of connections, which a cluster of our own does not need.
func (a *app) drillSettings(cmd *cobra.Command, f *drillFlags) (settings, error) {
	if f.token == "" {
		f.token = a.variable(drillTokenVariable)
	}
	if f.local > 0 {
		return settings{}, a.applyEnviron(cmd)
	}
	_, set, err := prepare(a, cmd, output.NewText)
	return set, err
}

// drillRun is one drill under way.
type drillRun struct {
	app      *app
	flags    drillFlags
	scenario drill.Scenario
	options  drill.Options
	settings settings
	stop     *stopSignal
	view     live.View
}

// drillOutcome is what a drill has to show.
type drillOutcome struct {
	report  *drillreport.Report
	history *history.History
	data    string // folder with the members' data, "" when there is none
	err     error
}

// execute runs the drill and ends the cluster, if it is our own. The error says why there is nothing to show.
func (r *drillRun) execute(folder *drillFolder) (out drillOutcome, err error) {
	cluster, err := r.open()
	if err != nil {
		return out, r.beforeIt(err)
	}
	out.data = cluster.data
	defer func() {
		if cluster.Processes() != nil {
			folder.takeLogs(cluster)
		}
		if closeErr := cluster.close(); closeErr != nil {
			r.app.warnf("%v", closeErr)
		}
	}()
	rules := newDeadlines(cluster)
	done := make(chan drillOutcome, 1) // room for the one outcome, which nobody may wait for any more
	go func() {                        // left alone, it ends with the process
		rep, h, err := r.app.drills.run(r.stop.ctx, rules, r.scenario, r.options, r.view)
		done <- drillOutcome{report: rep, history: h, data: cluster.data, err: err}
	}()
	select {
	case out = <-done:
		return out, r.beforeIt(out.err)
	case <-r.stop.ctx.Done():
		r.view.Say("stopping: the drill heals the cluster and judges what there is; Ctrl-C again leaves at once")
	}
	select {
	case out = <-done:
		return out, r.beforeIt(out.err)
	case <-r.stop.again:
		r.view.Close()
		text := rules.text()
		if cluster.Processes() != nil {
			text = "its members are killed"
		}
		return out, failf(r.signalled(), "left without healing; %s", text)
	}
}

func (r *drillRun) open() (*drillCluster, error) {
	if r.flags.local == 0 {
		return r.app.drills.reach(r.stop.ctx, r.settings, r.flags.token)
	}
	r.view.Say(fmt.Sprintf("starting a cluster of %d members", r.flags.local))
	return r.app.drills.startLocal(r.stop.ctx,
		localMembers{count: r.flags.local, server: r.flags.server, keep: r.flags.keep, say: r.view.Say})
}

// beforeIt explains why there is no result, if there is none: a signal is a reason of its own.
func (r *drillRun) beforeIt(err error) error {
	if err != nil && r.stop.ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, r.stop.ctx.Err())) {
		return failf(r.signalled(), "interrupted before the drill began")
	}
	return err
}

// signalled is the exit code of a drill that a signal ended.
func (r *drillRun) signalled() int {
	if r.stop.got == nil {
		return exitNoDrill
	}
	return r.stop.exitCode()
}

// deliver writes the files, prints the result, and makes an exit code of it.
func (r *drillRun) deliver(out drillOutcome, folder *drillFolder) error {
	if err := folder.write(out.report, out.history); err != nil {
		return err
	}
	a := r.app
	places := io.Writer(a.stdout)
	if r.flags.json {
		places = a.stderr
		if err := folder.copyReport(a.stdout); err != nil {
			return err
		}
	} else if err := out.report.Text(a.stdout, a.coloured(a.output)); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	lines := folder.lines()
	if out.data != "" {
		lines = append(lines, "members  "+out.data)
	}
	fmt.Fprintf(places, "\n%s\n", strings.Join(lines, "\n"))
	switch out.report.Verdict {
	case drillreport.Passed:
		return nil
	case drillreport.Interrupted:
		return &failure{code: r.signalled()}
	default:
		return &failure{code: exitDrillFailed}
	}
}

// drillView shows progress on standard error, as a picture if that is a terminal that can be drawn on.
func (a *app) drillView() live.View {
	f, ok := a.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || a.getenv("TERM") == "dumb" {
		return live.NewPlain(a.stderr)
	}
	size := func() (width, height int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width == 0 || height == 0 {
			return 80, 24
		}
		return width, height
	}
	return live.NewTerminal(f, size, live.StyleOf(a.environ))
}

// coloured says whether to write with colours.
func (a *app) coloured(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && a.getenv("TERM") != "dumb" && live.StyleOf(a.environ).Color
}
