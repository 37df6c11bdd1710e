package drill

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the scenarios' part of docs/drills.md anew")

// TestDocumentation: docs/drills.md says what the scenarios say.
func TestDocumentation(t *testing.T) {
	const path = "../../docs/drills.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "from the scenarios themselves. -->\n"
	hand, rest, ok := strings.Cut(string(text), mark)
	if !ok {
		t.Fatalf("%s has no line that ends in %q", path, mark)
	}
	var want strings.Builder
	for _, s := range Scenarios() {
		fmt.Fprintf(&want, "\n### %s: %s\n\n", s.Name, s.Short)
		fmt.Fprintln(&want, wrap(s.Does))
		fmt.Fprintf(&want, "\n%s\n", wrap("*Passing proves:* "+s.Proves))
		fmt.Fprintf(&want, "\n%s\n", wrap("*It does not prove:* "+s.NotProved))
		fmt.Fprintf(&want, "\n%s\n", wrap("*Marks:* "+strings.Join(s.Marks, "; ")+"."))
		rounds := fmt.Sprintf("%d rounds", s.Rounds)
		switch s.Rounds {
		case 0:
			rounds = "a round for each member"
		case 1:
			rounds = "1 round"
		}
		where := "any cluster"
		if s.NeedsProcesses {
			where = "a cluster of its own, `--local`"
		}
		fmt.Fprintf(&want, "\n%s\n", wrap(fmt.Sprintf("*By default:* %s, the fault lasts up to %v. *Runs on* %s.",
			rounds, s.Hold, where)))
	}
	if *update {
		if err := os.WriteFile(path, []byte(hand+mark+want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if rest != want.String() {
		t.Errorf("%s differs from the scenarios: go test ./internal/drill -run TestDocumentation -update", path)
	}
}

// wrap breaks a text into lines of at most 120 bytes.
func wrap(text string) string {
	var b strings.Builder
	line := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case line+1+len(word) > 120:
			b.WriteByte('\n')
			line = 0
		default:
			b.WriteByte(' ')
			line++
		}
		b.WriteString(word)
		line += len(word)
	}
	return b.String()
}

// TestScenarios: every scenario says everything that a user needs.
func TestScenarios(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Scenarios() {
		if seen[s.Name] {
			t.Errorf("two scenarios are called %s", s.Name)
		}
		seen[s.Name] = true
		for what, text := range map[string]string{
			"title": s.Title, "short text": s.Short, "does": s.Does, "proves": s.Proves, "does not prove": s.NotProved,
		} {
			if text == "" {
				t.Errorf("%s has no %s", s.Name, what)
			}
		}
		if len(s.Marks) == 0 || s.Hold < shortestHold || s.strike == nil || s.marks == nil {
			t.Errorf("%s is not complete", s.Name)
		}
		if found, ok := Find(s.Name); !ok || found.Name != s.Name {
			t.Errorf("Find(%q) = %q, %t", s.Name, found.Name, ok)
		}
	}
	if _, ok := Find("nonsense"); ok {
		t.Error("Find finds nonsense")
	}
}
