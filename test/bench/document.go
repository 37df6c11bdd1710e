package main

import (
	"fmt"
	"os"
	"strings"
)

// replaceSection puts text between the two comments that mark a section of a document.
func replaceSection(path, section, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write section %s: %w", section, err)
	}
	begin, end := "<!-- "+section+": begin -->", "<!-- "+section+": end -->"
	before, rest, found := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("write section %s: %s has no lines %q and %q", section, path, begin, end)
	}
	all := before + begin + "\n\n" + strings.TrimSpace(text) + "\n\n" + end + after
	if err := os.WriteFile(path, []byte(all), 0o666); err != nil {
		return fmt.Errorf("write section %s: %w", section, err)
	}
	return nil
}
