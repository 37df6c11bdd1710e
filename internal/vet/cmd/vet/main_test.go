package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestApplies(t *testing.T) {
	for path, want := range map[string]bool{
		module + "raftnode":             true,
		module + "storage/wal":          true,
		module + "internal/sim":         true,
		module + "internal/sim/memfs":   true,
		module + "internal/sim/cmd/sim": false,
		module + "internal/env":         false,
		module + "storages":             false,
		"example.com/storage":           false,
	} {
		if got := applies(path); got != want {
			t.Errorf("applies(%q) = %v, want %v", path, got, want)
		}
	}
}

// A folder that moves must not take its packages out of the check.
func TestFoldersExist(t *testing.T) {
	for _, f := range append(deterministic, free...) {
		if info, err := os.Stat(filepath.Join("../../../..", f)); err != nil || !info.IsDir() {
			t.Errorf("%s is no folder: %v", f, err)
		}
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module "+strings.TrimSuffix(module, "/")+"\n\ngo 1.26.0\n")
	write("server/server.go", "package server\n\nfunc F() { go F() }\n")
	write("raftnode/node.go", "package raftnode\n\nfunc F() { F() }\n")
	write("raftnode/node_test.go", "package raftnode\n\nfunc g() { go g() }\n")
	var out strings.Builder
	if err := run(&out, dir, []string{"./..."}); err != nil || out.Len() > 0 {
		t.Fatalf("clean module: %v, reported %q", err, out.String())
	}
	if err := run(&out, dir, []string{"./server"}); err == nil {
		t.Error("a run that checks nothing passes")
	}

	write("raftnode/node.go", "package raftnode\n\nfunc F() { go F() }\n")
	if err := run(&out, dir, []string{"./..."}); !errors.Is(err, errReported) {
		t.Errorf("a go statement gives error %v", err)
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "node.go:3:12: go statement") {
		t.Errorf("reported %q", got)
	}

	write("raftnode/node.go", "package raftnode\n\nfunc F() { undefined() }\n")
	if err := run(&out, dir, []string{"./..."}); err == nil || errors.Is(err, errReported) {
		t.Errorf("a package that does not compile gives error %v", err)
	}
}
