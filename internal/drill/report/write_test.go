package report_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/internal/drill/report/example"
)

func TestDataComesBack(t *testing.T) {
	for name, want := range example.All() {
		if name == "odd" {
			continue // JSON has no bytes that are not UTF-8
		}
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new", "report")
			if err := want.Write(dir); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(dir, report.DataName))
			if err != nil {
				t.Fatal(err)
			}
			var got report.Report
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, &got); diff != "" {
				t.Errorf("what was read differs from what was written (-want +got):\n%s", diff)
			}
			page, err := os.ReadFile(filepath.Join(dir, report.PageName))
			if err != nil {
				t.Fatal(err)
			}
			if string(page) != html(t, want) {
				t.Error("the page in the file is not the page")
			}
		})
	}
}

func TestWriteFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := example.Passed().Write(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("writing into a file: %v, want an error that names it", err)
	}

	// A directory in the place of the page: it cannot be replaced, and nothing may be left beside it.
	dir := t.TempDir()
	page := filepath.Join(dir, report.PageName)
	if err := os.MkdirAll(filepath.Join(page, "inside"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := example.Passed().Write(dir); err == nil || !strings.Contains(err.Error(), page) {
		t.Errorf("the page cannot be written: %v, want an error that names it", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != report.PageName && e.Name() != report.DataName {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

// TestWriteReplaces: a report takes the place of an older one.
func TestWriteReplaces(t *testing.T) {
	dir := t.TempDir()
	for _, r := range []*report.Report{example.Huge(), example.Missed()} {
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, report.PageName))
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != html(t, example.Missed()) {
		t.Error("the page is not that of the later report")
	}
}

func TestTextFitsATerminal(t *testing.T) {
	each(t, func(t *testing.T, r *report.Report, _ string) {
		for len(r.Violations) > 0 && len(r.Violations) < 20 {
			r.Violations = append(r.Violations, r.Violations...)
		}
		for range 40 {
			r.Notes = append(r.Notes, "another note")
			r.Marks = append(r.Marks, report.Mark{Name: "kept one", Kept: true})
		}
		r.Marks = append(r.Marks, report.Mark{Name: "the one beyond its mark"})
		var plain, coloured bytes.Buffer
		if err := r.Text(&plain, false); err != nil {
			t.Fatal(err)
		}
		if err := r.Text(&coloured, true); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(plain.String(), "\n"); n > 44 {
			t.Errorf("the text has %d lines:\n%s", n, plain.String())
		}
		if !strings.Contains(plain.String(), "the one beyond its mark") {
			t.Error("the figure beyond its mark is not in the text")
		}
		if strings.Contains(plain.String(), "\x1b") || !strings.Contains(coloured.String(), "\x1b[1;3") {
			t.Error("colours are there without being asked for, or missing")
		}
	})
}
