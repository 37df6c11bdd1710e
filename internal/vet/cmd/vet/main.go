// Command vet runs this project's own check, determinism, on those of the named packages that production and the
// simulator share.
//
//	go run ./internal/vet/cmd/vet ./...
//
// It exits with 1 when something is reported or a package does not compile.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"

	"github.com/quorumkv/quorumkv/internal/vet/determinism"
)

const module = "github.com/quorumkv/quorumkv/"

// The check applies to the folders of deterministic, with all below them, but not to those of free.
var (
	deterministic = []string{"raftnode", "storage", "internal/sim"}
	free          = []string{"internal/sim/cmd", "internal/sim/zoo"} // run around the simulation, not in it
)

var errReported = errors.New("the packages above must be deterministic; see internal/vet/determinism")

func main() {
	if err := run(os.Stdout, ".", os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vet:", err)
		os.Exit(1)
	}
}

// run checks the packages that the patterns, seen from dir, name.
func run(w io.Writer, dir string, patterns []string) error {
	named, err := packages.Load(&packages.Config{Mode: packages.NeedName, Dir: dir}, patterns...)
	if err != nil {
		return fmt.Errorf("list packages: %w", err)
	}
	var paths []string
	for _, p := range named {
		if applies(p.PkgPath) {
			paths = append(paths, p.PkgPath)
		}
	}
	if len(paths) == 0 {
		return fmt.Errorf("no deterministic package among %q", patterns)
	}
	// Syntax of these packages only; what they import comes from the build cache as export data.
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax, Dir: dir}, paths...)
	if err != nil {
		return fmt.Errorf("load packages: %w", err)
	}
	if n := packages.PrintErrors(pkgs); n > 0 {
		return fmt.Errorf("%d errors in packages", n)
	}
	graph, err := checker.Analyze([]*analysis.Analyzer{determinism.Analyzer}, pkgs, nil)
	if err != nil {
		return fmt.Errorf("analyze: %w", err)
	}
	var result error
	for _, a := range graph.Roots {
		if a.Err != nil {
			return fmt.Errorf("analyze %s: %w", a.Package.PkgPath, a.Err)
		}
		slices.SortFunc(a.Diagnostics, func(d, e analysis.Diagnostic) int { return cmp.Compare(d.Pos, e.Pos) })
		for _, d := range a.Diagnostics {
			fmt.Fprintf(w, "%v: %s\n", a.Package.Fset.Position(d.Pos), d.Message)
			result = errReported
		}
	}
	return result
}

// applies says whether a package must be deterministic.
func applies(path string) bool {
	below, ok := strings.CutPrefix(path, module)
	return ok && in(below, deterministic) && !in(below, free)
}

func in(path string, folders []string) bool {
	for _, f := range folders {
		if path == f || strings.HasPrefix(path, f+"/") {
			return true
		}
	}
	return false
}
