package mutant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Test names tests of the module.
type Test struct {
	Package string // relative to the module's root
	Run     string // as for go test -run
}

func (t Test) String() string { return fmt.Sprintf("go test ./%s -run '%s'", t.Package, t.Run) }

// testLimit is how long tests may take until they count as failed.
const testLimit = 2 * time.Minute

// RunTest runs tests with edits laid over the sources. It returns the first line that tells of a failure, "" if all passed.
// That nothing was built, or that there is no such test, is an error.
func RunTest(t Test, edits []Edit) (failure string, err error) {
	binary, err := build(edits, t.Package, "test", "-c")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(filepath.Dir(binary))
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	defer cancel()
	run := exec.CommandContext(ctx, binary, "-test.run", t.Run, "-test.v")
	run.Dir = filepath.Join(root, filepath.FromSlash(t.Package))
	out, err := run.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil && !bytes.Contains(out, []byte("--- PASS")):
		return "", fmt.Errorf("%s: no such test", t)
	case err == nil:
		return "", nil
	case ctx.Err() != nil:
		return fmt.Sprintf("no end within %v", testLimit), nil
	case !errors.As(err, &exit):
		return "", fmt.Errorf("%s: %w", t, err)
	}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "--- FAIL") || strings.HasPrefix(line, "panic: ") {
			return line, nil
		}
	}
	return "", fmt.Errorf("%s ended with %w, and no test failed:\n%s", t, err, out)
}
