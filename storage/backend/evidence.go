package backend

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/quorumkv/quorumkv/internal/env"
)

const (
	// condemnedName marks a generation that was found damaged; it holds the reason.
	condemnedName = "condemned"
	// evidenceName is where such a generation goes once another is current. There is one at the most: the last.
	evidenceName = "damaged"

	maxReasonBytes = 4096
)

// ErrSuspect is the ErrDamaged of a generation of which nothing is known but that two attempts to open it died. It may be
// sound: crashes of another cause look the same, and Options.Insist opens it.
var ErrSuspect = fmt.Errorf("two attempts to open it died: %w", ErrDamaged)

// Condemn marks the current generation as damaged, durably: Open refuses it from then on, and when another takes its place
// it is kept aside for whoever wants to know what the disk did. The first reason stays. The state may be open.
func Condemn(fsys env.FS, dir, reason string) error {
	g, err := currentGeneration(fsys, dir)
	if errors.Is(err, ErrDamaged) {
		return nil // nobody can open what nobody can name
	}
	if err == nil {
		err = g.condemn(reason)
	}
	if err != nil {
		return fmt.Errorf("condemn state: %w", err)
	}
	return nil
}

func (g generation) condemn(reason string) error {
	if why, err := g.condemned(); err != nil || why != "" {
		return err
	}
	err := writeFile(g.fs, g.file(condemnedName), []byte(reason+"\n"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its directory is gone, and so nothing can be opened
	}
	if err != nil {
		return err
	}
	return g.fs.SyncDir(g.path())
}

// condemned returns why the generation was condemned, "" if it was not.
func (g generation) condemned() (why string, err error) {
	f, err := g.fs.Open(g.file(condemnedName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var b [maxReasonBytes]byte
	n, _ := f.ReadAt(b[:], 0) // the mark stands, with or without its reason
	if err := f.Close(); err != nil {
		return "", err
	}
	if why = strings.TrimSpace(string(b[:n])); why == "" {
		why = "for a reason that is lost"
	}
	return why, nil
}

func (g generation) refuseCondemned() error {
	why, err := g.condemned()
	if err == nil && why != "" {
		err = fmt.Errorf("it was found damaged before: %s: %w", why, ErrDamaged)
	}
	return err
}

// worthKeeping reports whether there is reason to keep the generation after its end.
func (g generation) worthKeeping() bool {
	for _, name := range []string{condemnedName, reopeningName} {
		if found, err := g.has(name); err == nil && found {
			return true
		}
	}
	return false
}

// setAside makes the generation the evidence, in the place of what was that.
func (g generation) setAside() error {
	place := path.Join(g.dir, evidenceName)
	if err := removeDirectory(g.fs, place); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove old evidence: %w", err)
	}
	if err := g.fs.Rename(g.path(), place); err != nil {
		return fmt.Errorf("keep %s as evidence: %w", g, err)
	}
	return nil
}
