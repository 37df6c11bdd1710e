// Package zoo keeps bugs: known ways to break QuorumKV, each of which the simulator must find, or a test that the bug names
// where the simulator cannot. A checker that never fails proves nothing, so every check has at least one bug here that makes
// it fail.
//
// No bug is in the product's code: the simulator, or the test, is built with edited sources, see package mutant.
//
// A bug found elsewhere (by a user, a drill, a review) is first added here and made findable, and then fixed.
package zoo

import (
	"errors"
	"fmt"
	"slices"

	"github.com/quorumkv/quorumkv/internal/mutant"
)

const simulator = "internal/sim/cmd/sim"

// Bug is one way to break the product.
type Bug struct {
	Name string
	// What says what it breaks and which check must find it.
	What  string
	Edits []mutant.Edit
	// Test must fail with the bug, instead of a seed: for what the simulator does not have, or takes an exact script.
	Test *mutant.Test
}

// bugs is the zoo, in the order in which it is visited.
var bugs = slices.Concat(raftBugs, diskBugs, stateBugs, watchBugs, leaseBugs)

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

// Build builds the simulator with a bug in it and returns the path of the binary. The caller removes its folder, see
// [mutant.Build].
func Build(name string) (binary string, err error) {
	b, err := Find(name)
	if err != nil {
		return "", err
	}
	if b.Test != nil {
		return "", fmt.Errorf("bug %s is not for the simulator, but for %s", name, b.Test)
	}
	if binary, err = mutant.Build(simulator, b.Edits); err != nil {
		return "", fmt.Errorf("bug %s: %w", name, err)
	}
	return binary, nil
}

// BuildHealthy builds the simulator as it is, to compare with: a seed that fails without a bug does not find one.
func BuildHealthy() (binary string, err error) { return mutant.Build(simulator, nil) }
