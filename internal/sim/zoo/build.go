package zoo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	module  = "github.com/quorumkv/quorumkv"
	command = "./internal/sim/cmd/sim"
)

// Build builds the simulator with a bug in it and returns the path of the binary. It lies in a temporary folder of its
// own, filepath.Dir of the path, which the caller removes. The working directory must be inside the module.
func Build(name string) (binary string, err error) {
	b, err := Find(name)
	if err != nil {
		return "", err
	}
	return build(b)
}

// BuildHealthy builds the simulator as it is, to compare with: a seed that fails without a bug does not find one.
func BuildHealthy() (binary string, err error) { return build(Bug{Name: "none"}) }

func build(b Bug) (binary string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	files, err := b.Apply(root)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "zoo-")
	if err != nil {
		return "", fmt.Errorf("make a folder for bug %s: %w", b.Name, err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	overlay, err := writeOverlay(dir, root, files)
	if err != nil {
		return "", fmt.Errorf("lay bug %s over the sources: %w", b.Name, err)
	}
	binary = filepath.Join(dir, "sim")
	cmd := exec.Command("go", "build", "-overlay", overlay, "-o", binary, command)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build bug %s: %w\n%s", b.Name, err, out)
	}
	return binary, nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("find the sources of %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// writeOverlay writes the edited files to dir, with the file that tells the go command which ones they stand for.
func writeOverlay(dir, root string, files map[string]string) (string, error) {
	replace := map[string]string{}
	for name, content := range files {
		edited := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(edited, []byte(content), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, filepath.FromSlash(name))] = edited
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}
