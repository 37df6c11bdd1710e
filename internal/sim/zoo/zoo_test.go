package zoo

import (
	"errors"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testRoot = "../../.."

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
		files, err := b.Apply(testRoot)
		if err != nil {
			t.Error(err)
			continue
		}
		for name, content := range files {
			if _, err := parser.ParseFile(token.NewFileSet(), name, content, parser.SkipObjectResolution); err != nil {
				t.Errorf("bug %s leaves %s unreadable: %v", b.Name, name, err)
			}
			real, err := os.ReadFile(filepath.Join(testRoot, name))
			if err != nil || string(real) == content {
				t.Errorf("bug %s does not change %s (%v)", b.Name, name, err)
			}
		}
	}
}

// TestEditMustMatchOnce makes sure that a bug out of step with the code is noticed.
func TestEditMustMatchOnce(t *testing.T) {
	for _, c := range []struct {
		content, old string
		ok           bool
	}{
		{"a b c", "b", true},
		{"a b b", "b", false},
		{"a c", "b", false},
		{"a", "", false},
		{"", "", false},
	} {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "f.go"), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := Bug{Name: "x", Edits: []Edit{{File: "f.go", Old: c.old, New: "!"}}}.Apply(root)
		if (err == nil) != c.ok {
			t.Errorf("%q in %q: error %v", c.old, c.content, err)
		}
		if c.ok && files["f.go"] != strings.Replace(c.content, c.old, "!", 1) {
			t.Errorf("%q in %q became %q", c.old, c.content, files["f.go"])
		}
	}
}

func TestUnknownBug(t *testing.T) {
	if _, err := Build("no-such-bug"); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v", err)
	}
}
