package zoo

import (
	"errors"
	"os"
	"path/filepath"
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

func TestUnknownBug(t *testing.T) {
	if _, err := Build("no-such-bug"); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v", err)
	}
}
