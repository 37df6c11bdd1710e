package zoo

import (
	"errors"
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
	}
}

func TestUnknownBug(t *testing.T) {
	if _, err := Build("no-such-bug"); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v", err)
	}
}
