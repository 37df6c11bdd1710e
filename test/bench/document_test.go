package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestReplaceSection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n<!-- table: begin -->\nold\n<!-- table: end -->\nafter\n<!-- growth: begin -->x<!-- growth: end -->\n")
	for range 2 {
		if err := replaceSection(path, "table", "| new |\n"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	want := "before\n<!-- table: begin -->\n\n| new |\n\n<!-- table: end -->\nafter\n<!-- growth: begin -->x<!-- growth: end -->\n"
	if err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	for _, text := range []string{"", "<!-- table: begin -->", "<!-- table: end --> <!-- table: begin -->"} {
		write(text)
		if err := replaceSection(path, "table", "new"); err == nil {
			t.Errorf("a page without the section is accepted: %q", text)
		}
	}
}

// TestDocumentHasSections keeps the page that make bench writes to in step with it.
func TestDocumentHasSections(t *testing.T) {
	text, err := os.ReadFile("../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, section := range []string{"table", "growth"} {
		if err := replaceSection(path, section, "new"); err != nil {
			t.Error(err)
		}
	}
}

// TestStore takes results back that were measured alike, and no others.
func TestStore(t *testing.T) {
	s := store{filepath.Join(t.TempDir(), "results")}
	like := saved{Row: "put-1", Machine: machine{CPUs: 2, QuorumKV: "v1"}, Build: "abc", Rounds: 5, Seconds: 3, Large: 9}
	if _, ok, err := s.load(like); ok || err != nil {
		t.Fatalf("an empty store has results: %v, %v", ok, err)
	}
	full := like
	full.Finished, full.Results = time.Unix(1e9, 0).UTC(), results{etcd: {{p99: 0.5}, {p99: 0.25}}}
	if err := s.save(full); err != nil {
		t.Fatal(err)
	}
	got, ok, err := s.load(like)
	if !ok || err != nil || got.Results[etcd][1][p99] != 0.25 || !got.Finished.Equal(full.Finished) {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
	for _, change := range []func(*saved){
		func(v *saved) { v.Row = "put-4k" },
		func(v *saved) { v.Machine.QuorumKV = "v2" },
		func(v *saved) { v.Build = "abd" },
		func(v *saved) { v.Rounds = 4 },
		func(v *saved) { v.Seconds = 2 },
		func(v *saved) { v.Large = 8 },
	} {
		other := like
		change(&other)
		if _, ok, err := s.load(other); ok || err != nil {
			t.Errorf("results of %+v are taken for those of %+v (%v)", like, other, err)
		}
	}
	if err := os.WriteFile(s.path("put-1"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.load(like); err == nil {
		t.Error("a broken file is accepted")
	}
}
