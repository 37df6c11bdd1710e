// Package planted keeps bugs that a drill must find: known ways to break the server, each with the drill that shows it. A
// drill that never fails proves nothing.
//
// The server is built with edited sources, see package mutant: no bug is in the product. As far as possible a bug shows only
// while the cluster meets the fault of its drill, so that it is the drill that finds it, and not any load. Bugs that need a
// loss of power, or very many runs, are for the simulator (internal/sim/zoo).
package planted

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quorumkv/quorumkv/internal/mutant"
)

const (
	server = "cmd/quorumkv"
	client = "cmd/quorumctl"
)

// Bug is one way to break the server.
type Bug struct {
	Name string
	// What says what it breaks.
	What  string
	Edits []mutant.Edit
	// Drill is the name of the drill that finds it, with its options.
	Drill []string
	// Promises are those that it breaks, as package check names them. The drill stops at the first violation, so it need not
	// see all of them broken.
	Promises []string
	// Nameless says that no request is to blame, so that the drill cannot name one.
	Nameless bool
}

// ErrUnknown says that there is no bug of that name.
var ErrUnknown = errors.New("no such bug")

// All returns the bugs.
func All() []Bug { return slices.Clone(bugs) }

// Find returns a bug by its name.
func Find(name string) (Bug, error) {
	var names []string
	for _, b := range bugs {
		if b.Name == name {
			return b, nil
		}
		names = append(names, b.Name)
	}
	return Bug{}, fmt.Errorf("bug %q: %w; there are %s", name, ErrUnknown, strings.Join(names, ", "))
}

// Build builds the server with the bug in it and returns the path of the binary. The caller removes its folder, see
// [mutant.Build].
func (b Bug) Build() (binary string, err error) {
	if binary, err = mutant.Build(server, b.Edits); err != nil {
		return "", fmt.Errorf("bug %s: %w", b.Name, err)
	}
	return binary, nil
}

// Healthy builds the server as it is, to compare with: a drill that fails without the bug does not find it.
func Healthy() (binary string, err error) { return mutant.Build(server, nil) }

// Quorumctl builds the program that runs the drills.
func Quorumctl() (binary string, err error) { return mutant.Build(client, nil) }
