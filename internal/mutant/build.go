package mutant

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

const module = "github.com/quorumkv/quorumkv"

// Build builds a command of the module, such as "cmd/quorumkv", with edits laid over its sources, none for the command as it
// is. It returns the path of the binary, which lies in a temporary folder of its own, filepath.Dir of the path: the caller
// removes that. The working directory must be inside the module, or inside one that requires it.
func Build(command string, edits []Edit) (binary string, err error) {
	return build(edits, command, "build")
}

// build has the go command make a binary of a package.
func build(edits []Edit, pkg string, command ...string) (binary string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	files, err := Apply(root, edits)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the binary: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	overlay, err := writeOverlay(dir, root, files)
	if err != nil {
		return "", fmt.Errorf("lay edits over the sources: %w", err)
	}
	binary = filepath.Join(dir, path.Base(pkg))
	cmd := exec.Command("go", append(command, "-overlay", overlay, "-o", binary, "./"+pkg)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s ./%s: %w\n%s", strings.Join(command, " "), pkg, err, out)
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
