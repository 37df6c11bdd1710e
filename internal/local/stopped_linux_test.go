package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// threadStopped matches a thread's stat file: its number, its name in parentheses, and the state T.
var threadStopped = regexp.MustCompile(`^\d+ \(.*\) T `)

func TestPauseStopsEveryThread(t *testing.T) {
	n := start(t, nil).Nodes()[0]
	for range 50 {
		if err := n.Pause(); err != nil {
			t.Fatal(err)
		}
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.PID()))
		if err != nil || len(threads) == 0 {
			t.Fatalf("the threads of process %d: %v, %v", n.PID(), threads, err)
		}
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			if err != nil {
				t.Fatal(err)
			}
			if !threadStopped.Match(stat) {
				t.Fatalf("a thread of a paused node goes on: %s", stat)
			}
		}
		if err := n.Continue(); err != nil {
			t.Fatal(err)
		}
	}
}
