package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// newCheckBbolt is the other side of checkPages: rotten pages may kill the process that walks them, so it is one of its
// own. It prints a line for each fault.
func (a *app) newCheckBbolt() *cobra.Command {
	return &cobra.Command{
		Use:     "bbolt <file>",
		Short:   "Walk the pages of a bbolt file",
		Long:    "Walk the pages of a bbolt file and print a line for each fault. `check files` does this, and more.",
		Example: `  quorumctl check bbolt n1.quorumkv/state/0000000000000001/db`,
		Hidden:  true,
		RunE: offline(func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("check bbolt takes one argument, a file, not %d", len(args))
			}
			return backend.CheckPages(args[0], func(fault error) {
				fmt.Fprintln(a.stdout, strings.ReplaceAll(fault.Error(), "\n", " "))
			})
		}),
	}
}

// checkPages walks the pages of a bbolt file in a process of its own and returns what it printed.
func (a *app) checkPages(file string) ([]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program, "check", "bbolt", file)
	cmd.Env = a.environ
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		var exited *exec.ExitError
		if !errors.As(err, &exited) {
			return nil, fmt.Errorf("start %s: %w", program, err)
		}
		first, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return nil, fmt.Errorf("%s", strings.TrimPrefix(first, "Error: "))
	}
	var faults []string
	for line := range strings.Lines(stdout.String()) {
		faults = append(faults, strings.TrimSpace(line))
	}
	return faults, nil
}
