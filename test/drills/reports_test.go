package drills

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// writeReports writes what `quorumctl drill` would leave, into a folder that stays: `quorumctl drill check` judges the
// history again.
func writeReports(t *testing.T, rep *report.Report, h *history.History) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "quorumkv-drill-")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(history.Write(file, h), file.Close(), rep.Write(dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}
