// Package mutant builds programs of this module with bugs in them, to see whether what should find bugs does.
//
// No bug is in the product's code, not even behind a switch. A bug is a list of replacements in source files; the program is
// built with them laid over the real files (go build -overlay). Each replacement must match exactly once, so it fails loudly
// when the code that it breaks has moved on, and a bug can never quietly become a no-op.
//
// The bugs themselves are kept where they are looked for: internal/sim/zoo for the simulator, internal/drill/planted for
// drills.
package mutant

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// Edit replaces a piece of one source file.
type Edit struct {
	File     string // relative to the module's root
	Old, New string
}

// Apply returns the content of every file that the edits change, by its name relative to root, the module's folder.
func Apply(root string, edits []Edit) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range edits {
		content, ok := files[e.File]
		if !ok {
			raw, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File)))
			if err != nil {
				return nil, err
			}
			content = string(raw)
		}
		changed, err := e.apply(content)
		if err != nil {
			return nil, err
		}
		files[e.File] = changed
	}
	return files, nil
}

func (e Edit) apply(content string) (string, error) {
	if n := strings.Count(content, e.Old); n != 1 || e.Old == "" {
		return "", fmt.Errorf("edit of %s matches %d times and must match once: the code has changed, bring the bug "+
			"in step with it:\n%s", e.File, n, e.Old)
	}
	return strings.Replace(content, e.Old, e.New, 1), nil
}

// Check reports edits that no longer match the sources, change nothing, or leave a file that is no Go. Whether the whole
// builds shows only when it is built.
func Check(root string, edits []Edit) error {
	for _, e := range edits {
		if e.Old == e.New {
			return fmt.Errorf("edit of %s changes nothing:\n%s", e.File, e.Old)
		}
	}
	files, err := Apply(root, edits)
	if err != nil {
		return err
	}
	for name, content := range files {
		if _, err := parser.ParseFile(token.NewFileSet(), name, content, parser.SkipObjectResolution); err != nil {
			return fmt.Errorf("edits leave %s unreadable: %w", name, err)
		}
	}
	return nil
}
