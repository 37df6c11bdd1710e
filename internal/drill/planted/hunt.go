package planted

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// members is the size of the clusters: the smallest that has a majority to spare.
const members = "3"

// Finding is what a drill said of a server.
type Finding struct {
	ExitCode int
	Report   *report.Report
}

// Hunt runs the bug's drill on a local cluster of server, with quorumctl as a user would run it. The drill's report goes to
// dir, which must be new or empty. The error says why there is no finding.
func (b Bug) Hunt(ctx context.Context, quorumctl, server, dir string) (Finding, error) {
	args := append([]string{"drill"}, b.Drill...)
	cmd := exec.CommandContext(ctx, quorumctl, append(args, "--local", members, "--server", server, "--report", dir)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Finding{}, fmt.Errorf("run quorumctl: %w", err)
	}
	f := Finding{ExitCode: cmd.ProcessState.ExitCode(), Report: new(report.Report)}
	text, err := os.ReadFile(filepath.Join(dir, report.DataName))
	if err == nil {
		err = json.Unmarshal(text, f.Report)
	}
	if err != nil {
		return f, fmt.Errorf("drill %s: exit code %d, no report (%w):\n%s", strings.Join(b.Drill, " "), f.ExitCode, err, &said)
	}
	return f, nil
}

// Judge says what a finding lacks, nil when the drill has found the bug.
func (b Bug) Judge(f Finding) error {
	v := b.Violation(f)
	switch {
	case f.Report.Verdict != report.Violated:
		return fmt.Errorf("the verdict is %q: %s", f.Report.Verdict, f.Report.Summary)
	case f.ExitCode != 1:
		return fmt.Errorf("the exit code is %d, want 1", f.ExitCode)
	case v == nil:
		return fmt.Errorf("what is broken is %q, and not %q", f.broken(), b.Promises)
	case len(v.Ops) == 0 && !b.Nameless:
		return fmt.Errorf("no operation is named: %s", v.Text)
	}
	return nil
}

// Violation is one of the bug's promises in a finding, nil if there is none: if possible one that names operations.
func (b Bug) Violation(f Finding) (found *history.Violation) {
	for i := range f.Report.Violations {
		v := &f.Report.Violations[i]
		if slices.Contains(b.Promises, v.Promise) && (found == nil || len(found.Ops) == 0 && len(v.Ops) > 0) {
			found = v
		}
	}
	return found
}

// broken are the promises that were broken.
func (f Finding) broken() (promises []string) {
	for _, v := range f.Report.Violations {
		if !slices.Contains(promises, v.Promise) {
			promises = append(promises, v.Promise)
		}
	}
	return promises
}
