package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/quorumkv/quorumkv/internal/sim/zoo"
)

// runWithBug builds the simulator with a bug of the zoo in it and runs it with args, on this process's terminal. It
// returns that run's exit code, or 2 when there is nothing to run.
func runWithBug(name string, args []string) (exitCode int) {
	binary, err := zoo.Build(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		if errors.Is(err, zoo.ErrUnknown) {
			fmt.Fprintf(os.Stderr, "the zoo has:\n  %s\n", strings.Join(zoo.Names(), "\n  "))
		}
		return 2
	}
	defer os.RemoveAll(filepath.Dir(binary))
	run := exec.Command(binary, args...)
	run.Stdin, run.Stdout, run.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = run.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "sim:", err)
	return 2
}
