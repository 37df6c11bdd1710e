package drills

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/test/cluster"
)

// ran is how a command ended.
type ran struct {
	code           int
	stdout, stderr string
}

// quorumctl runs our own client until its end.
func quorumctl(t *testing.T, args ...string) ran {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), cluster.Quorumctl(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run quorumctl %v: %v", args, err)
	}
	return ran{code: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: errs.String()}
}

// readReport reads what a drill left.
func readReport(t *testing.T, dir string) *report.Report {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &report.Report{}
	if err := json.Unmarshal(text, r); err != nil {
		t.Fatal(err)
	}
	return r
}
