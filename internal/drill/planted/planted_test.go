package planted

import (
	"errors"
	"testing"

	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/mutant"
)

// TestEditsMatchTheSources fails when code that a bug breaks has changed. Whether drills find the bugs is shown by
// "make zoo", for some of them by the tests in test/drills.
func TestEditsMatchTheSources(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range All() {
		if seen[b.Name] || b.What == "" || len(b.Promises) == 0 || len(b.Edits) == 0 || len(b.Drill) == 0 {
			t.Fatalf("bug %q: used twice (%t), or incomplete: %+v", b.Name, seen[b.Name], b)
		}
		seen[b.Name] = true
		if _, ok := drill.Find(b.Drill[0]); !ok {
			t.Errorf("bug %s: there is no drill %q", b.Name, b.Drill[0])
		}
		if err := mutant.Check("../../..", b.Edits); err != nil {
			t.Errorf("bug %s: %v", b.Name, err)
		}
	}
}

func TestFind(t *testing.T) {
	for _, b := range All() {
		if found, err := Find(b.Name); err != nil || found.Name != b.Name {
			t.Errorf("%s: found %q, %v", b.Name, found.Name, err)
		}
	}
	if _, err := Find("no-such-bug"); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v", err)
	}
}
