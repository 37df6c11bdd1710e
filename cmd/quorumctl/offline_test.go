package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/sample"
)

// TestMain lets the test binary stand in for the program where the program starts itself: see checkPages.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "check" && os.Args[2] == "bbolt" {
		main()
	}
	os.Exit(m.Run())
}

// sampleOfThree is a member of three, whose state lags behind its log.
var sampleOfThree = sample.Config{Members: 3, Flushed: 40, Tail: 20, Commit: 46}

// leaveMember makes the data directory of a member that was killed.
func leaveMember(t *testing.T, dir string, cfg sample.Config) {
	t.Helper()
	o, err := env.NewOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = sample.Make(o.Env().FS, cfg)
	if err := errors.Join(err, o.Close()); err != nil {
		t.Fatal(err)
	}
}

// makeMember is the commands member and hold of scripts.
func makeMember(t *testing.T, d *datadriven.TestData, root string) {
	t.Helper()
	name, cfg := "", sampleOfThree
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "name":
			name = filepath.Join(root, arg.Vals[0])
		case "members":
			var err error
			if cfg.Members, err = strconv.Atoi(arg.Vals[0]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if d.Cmd == "member" {
		leaveMember(t, name, cfg)
		return
	}
	o, err := env.NewOS(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
}

// damageFiles is the command damage of scripts.
func damageFiles(t *testing.T, d *datadriven.TestData, root string) {
	t.Helper()
	for line := range strings.Lines(d.Input) {
		words := strings.Fields(line)
		name := filepath.Join(root, words[1])
		if words[0] == "remove" {
			if err := os.RemoveAll(name); err != nil {
				t.Fatal(err)
			}
			continue
		}
		offset, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if err := damageFile(words[0], name, offset); err != nil {
			t.Fatalf("%s: %s: %v", d.Pos, strings.TrimSpace(line), err)
		}
	}
}

func damageFile(how, name string, offset int64) error {
	if how == "cut" {
		return os.Truncate(name, offset)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	size := map[string]int{"flip": 1, "zero": 512}[how]
	if size == 0 {
		return errors.New("it is neither flip, zero, cut nor remove")
	}
	b := make([]byte, size)
	if _, err = f.ReadAt(b, offset); err == nil || errors.Is(err, io.EOF) {
		if how == "flip" {
			b[0] ^= 1
		} else {
			clear(b)
		}
		_, err = f.WriteAt(b, offset)
	}
	return errors.Join(err, f.Close())
}

// TestCheckSurvivesRottenPages damages the first bytes of every page of a state file in turn: bbolt dies of some of them, the
// check of none, and it calls nothing sound that a server would read.
func TestCheckSurvivesRottenPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "n1")
	leaveMember(t, dir, sample.Config{Members: 3, Flushed: 600})
	file := filepath.Join(dir, "state", "0000000000000001", "db")
	sound, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	page, found := os.Getpagesize(), 0
	for at := 0; at+page <= len(sound); at += page {
		rotten := slices.Clone(sound)
		clear(rotten[at : at+512])
		if err := os.WriteFile(file, rotten, 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr strings.Builder
		code := newApp(nil, &stdout, &stderr, nil).run([]string{"check", "files", dir})
		switch {
		case code == exitDamaged && strings.Contains(stdout.String(), "REPAIRS: state/"):
			found++
		case code != 0:
			t.Fatalf("page %d zeroed: exit code %d\n%s%s", at/page, code, stdout.String(), stderr.String())
		}
	}
	// Pages that nothing refers to are no loss, nor is one of the two meta pages.
	if found < 10 {
		t.Errorf("only %d of %d pages are missed", found, len(sound)/page)
	}
	t.Logf("%d of %d pages are missed", found, len(sound)/page)
}
