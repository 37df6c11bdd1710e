// Package zoo keeps bugs: known ways to break QuorumKV, each of which the simulator must find. A checker that never
// fails proves nothing, so every check has at least one bug here that makes it fail.
//
// No bug is in the product's code, not even behind a switch. A bug is a list of replacements in source files; the
// simulator is built with them laid over the real files (go build -overlay). Each replacement must match exactly once,
// so the zoo fails loudly when the code it breaks has moved on, and a bug can never quietly become a no-op.
//
// A bug found elsewhere (by a user, a drill, a review) is first added here and made findable, and then fixed.
package zoo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bug is one way to break the product.
type Bug struct {
	Name string
	// What says what it breaks and which check must find it.
	What  string
	Edits []Edit
}

// Edit replaces a piece of one source file.
type Edit struct {
	File     string // relative to the module's root
	Old, New string
}

// ErrUnknown says that the zoo has no bug of that name.
var ErrUnknown = errors.New("no such bug")

// All returns the bugs in the order of the zoo.
func All() []Bug { return slices.Clone(bugs) }

// Names returns their names.
func Names() []string {
	names := make([]string, len(bugs))
	for i, b := range bugs {
		names[i] = b.Name
	}
	return names
}

// Find returns a bug by its name.
func Find(name string) (Bug, error) {
	for _, b := range bugs {
		if b.Name == name {
			return b, nil
		}
	}
	return Bug{}, fmt.Errorf("bug %q: %w", name, ErrUnknown)
}

// Apply returns the content of every file that the bug changes, by its name relative to root, the module's folder.
func (b Bug) Apply(root string) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range b.Edits {
		content, ok := files[e.File]
		if !ok {
			raw, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File)))
			if err != nil {
				return nil, fmt.Errorf("bug %s: %w", b.Name, err)
			}
			content = string(raw)
		}
		changed, err := e.apply(content)
		if err != nil {
			return nil, fmt.Errorf("bug %s: %w", b.Name, err)
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
