package local

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFindServer(t *testing.T) {
	beside, onPath, empty := t.TempDir(), t.TempDir(), t.TempDir()
	neighbour, found := filepath.Join(beside, "quorumkv"), filepath.Join(onPath, "quorumkv")
	text := filepath.Join(empty, "notes")
	for path, mode := range map[string]os.FileMode{neighbour: 0o700, found: 0o700, text: 0o600} {
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, named, beside, path string
		want, err                 string
	}{
		{name: "named", named: found, beside: beside, want: found},
		{name: "beside", beside: beside, path: onPath, want: neighbour},
		{name: "in PATH", beside: empty, path: empty + ":" + onPath, want: found},
		{name: "nowhere", beside: empty, path: empty,
			err: "the server's program quorumkv is neither beside this one (" + filepath.Join(empty, "quorumkv") +
				") nor in PATH (" + empty + "): build it there, or name it with --server FILE"},
		{name: "named, not there", named: "/no/such", beside: beside, path: onPath,
			err: "--server /no/such is not a program that can be run: exec: \"/no/such\": stat /no/such: no such file or directory"},
		{name: "named, no program", named: text, beside: beside, path: onPath,
			err: "--server " + text + " is not a program that can be run: exec: \"" + text + "\": permission denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("PATH", c.path)
			got, err := findServer(c.named, "--server", c.beside)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if got != c.want || text != c.err {
				t.Errorf("got  %s (%s)\nwant %s (%s)", got, text, c.want, c.err)
			}
		})
	}
}
