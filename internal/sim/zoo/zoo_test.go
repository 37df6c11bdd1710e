package zoo

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/quorumkv/quorumkv/internal/mutant"
)

// TestEditsMatchTheSources fails when code that a bug breaks has changed. Whether the result builds and is found is
// shown by "make zoo".
func TestEditsMatchTheSources(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range All() {
		if seen[b.Name] || b.What == "" || len(b.Edits) == 0 {
			t.Errorf("bug %q: used twice (%t), without a word (%q) or without edits (%d)", b.Name, seen[b.Name], b.What,
				len(b.Edits))
		}
		seen[b.Name] = true
		if err := mutant.Check("../../..", b.Edits); err != nil {
			t.Errorf("bug %s: %v", b.Name, err)
		}
		if b.Test != nil && !hasTest(t, *b.Test) {
			t.Errorf("bug %s is for a test that is not there: %s", b.Name, b.Test)
		}
	}
}

// hasTest looks for the function whose name the pattern begins with.
func hasTest(t *testing.T, test mutant.Test) bool {
	t.Helper()
	name, _, _ := strings.Cut(strings.Trim(test.Run, "^$"), "/")
	files, err := filepath.Glob(filepath.Join("../../..", test.Package, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(content), "func "+name+"(t *testing.T)")
	})
}

// TestDocumentNamesEveryBug keeps docs/reliability.md in step: every bug stands in one of its tables, and every name there is
// a bug.
func TestDocumentNamesEveryBug(t *testing.T) {
	document, err := os.ReadFile("../../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Names() {
		if !strings.Contains(string(document), "`"+name+"`") {
			t.Errorf("docs/reliability.md does not name the bug %s", name)
		}
	}
	_, tables, _ := strings.Cut(string(document), "## Bugs that are designed out")
	tables, _, _ = strings.Cut(tables, "## Bugs of our own")
	for _, line := range strings.Split(tables, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) < 2 {
			continue
		}
		for _, name := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(cells[len(cells)-1], -1) {
			if _, err := Find(name[1]); err != nil {
				t.Errorf("docs/reliability.md: %v", err)
			}
		}
	}
}

func TestUnknownBug(t *testing.T) {
	if _, err := Build("no-such-bug"); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v", err)
	}
}
