package drills

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// docker runs a command of the engine's client and returns what it prints, a field per word.
func docker(ctx context.Context, args ...string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return nil, fmt.Errorf("docker %s: %w", strings.Join(args, " "), err)
	}
	return strings.Fields(string(out)), nil
}

// dockerOne is docker for a command that prints one word.
func dockerOne(ctx context.Context, args ...string) (string, error) {
	words, err := docker(ctx, args...)
	if err == nil && len(words) != 1 {
		err = fmt.Errorf("docker %s: want one word, got %q", strings.Join(args, " "), words)
	}
	if err != nil {
		return "", err
	}
	return words[0], nil
}
