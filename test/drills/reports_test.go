package drills

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

func writeReports(t *testing.T, rep *report.Report, h *history.History) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "quorumkv-drill-")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]any{"report.json": rep, "history.json": h} {
		data, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
