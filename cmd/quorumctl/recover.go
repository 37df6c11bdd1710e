package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/recovery"
	"github.com/quorumkv/quorumkv/storage/wal"
)

const recoverHelp = `Start a new cluster from the data of one member, when a majority of the old one is lost for good.

With --plan nothing is done: it says what is kept, what is lost or may be, and prints a token. With --accept-loss and that
token the data goes to a new folder, as a cluster of one member. The old folder is only read. The new cluster has another
id and the member another one, so what is left of the old cluster and the new one never talk to each other.

Nothing is lost that this member had on its disk, up to the first entry that cannot be read, if there is one. What others
have acknowledged that never reached it is lost, and nobody can say what that was: so take the member whose log goes
furthest (the last index and term that the plans of all survivors name; the higher term wins, then the higher index).

While a majority lives, do not do this: start those members, they have everything.

The exit code is 0 when it is done or planned, 2 when it is not.`

func (a *app) newRecover() *cobra.Command {
	var plan bool
	var token, to string
	cmd := &cobra.Command{
		Use:   "recover <data directory> --plan | --accept-loss <token> [--to <folder>]",
		Short: "Start a new cluster from one member's data, when a majority is lost",
		Long:  recoverHelp,
		Example: `  quorumctl recover n1.quorumkv --plan
  quorumctl recover n1.quorumkv --accept-loss 7a1a44797d --to n1.recovered`,
		GroupID:               groupCluster,
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().BoolVar(&plan, "plan", false, "say what would be kept and lost, and do nothing")
	cmd.Flags().StringVar(&token, "accept-loss", "", "do what the plan says that printed this token")
	cmd.Flags().StringVar(&to, "to", "", "folder to make (default: the data directory's name with .recovered behind it)")
	cmd.RunE = offline(func(cmd *cobra.Command, args []string) error {
		dir, err := oneDir(cmd, args)
		if err != nil {
			return err
		}
		if plan == (token != "") {
			return failf(exitOffline, "either --plan or --accept-loss must be given").
				hint("begin with: quorumctl recover %s --plan", dir)
		}
		return a.recover(cmd, recoverRun{dir: dir, to: to, token: token})
	})
	return cmd
}

// recoverRun is one recovery, or the plan of one if it has no token.
type recoverRun struct{ dir, to, token string }

func (a *app) recover(cmd *cobra.Command, r recoverRun) error {
	printer, err := a.prepareOffline(cmd)
	if err != nil {
		return err
	}
	files, err := openDataDir(r.dir)
	if err != nil {
		return err
	}
	defer files.Close()
	if r.to, err = newFolder(r.dir, r.to); err != nil {
		return err
	}
	source, err := recovery.Open(files.FS)
	if err != nil {
		return r.explain(err)
	}
	defer source.Close()
	if r.token == "" {
		return printer.Print(source.Plan(), planText{r, source.Plan()}.write)
	}
	return a.carryOut(r, printer, source)
}

// newFolder is the folder to make, as the operator would call it: beside the data directory if there was no wish.
func newFolder(dir, wish string) (string, error) {
	if wish == "" {
		wish = filepath.Clean(dir)
		if base := filepath.Base(wish); base == "." || base == ".." {
			var err error
			if wish, err = filepath.Abs(wish); err != nil {
				return "", err
			}
		}
		wish += ".recovered"
	}
	wish = filepath.Clean(wish)
	old, err := realPath(dir)
	if err != nil {
		return "", err
	}
	made, err := realPath(wish)
	if err != nil {
		return "", err
	}
	if below, err := filepath.Rel(old, made); err == nil && filepath.IsLocal(below) {
		return "", failf(exitOffline, "%s is inside %s, in which nothing is to be changed", wish, dir).
			hint("name a folder elsewhere with --to")
	}
	return wish, nil
}

// realPath is an absolute path without symbolic links, of a name that need not exist.
func realPath(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(abs) != abs {
		above, err := realPath(filepath.Dir(abs))
		return filepath.Join(above, filepath.Base(abs)), err
	}
	return real, err
}

func (r recoverRun) explain(err error) error {
	f := failf(exitOffline, "%w", err)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return f.hint("%s", asServersUser)
	case errors.Is(err, recovery.ErrStateUnusable):
		f.hint("take another member's folder; or start the member once, it may rebuild its state from its log, and stop it")
	case errors.Is(err, wal.ErrIdentityLost), errors.Is(err, fs.ErrNotExist):
		f.hint("it is no member's folder, or one whose identity is lost: without that its log cannot be read. Take another member's")
	}
	return f.hint("what is wrong with this one: quorumctl check files %s", r.dir)
}

// carryOut makes the new folder under another name, so that it has its own only when it is complete.
func (a *app) carryOut(r recoverRun, printer output.Report, source *recovery.Source) error {
	if _, err := os.Lstat(r.to); !errors.Is(err, fs.ErrNotExist) {
		return failf(exitOffline, "%s exists", r.to).hint("name another folder with --to")
	}
	unfinished := r.to + ".unfinished"
	if _, err := os.Lstat(unfinished); !errors.Is(err, fs.ErrNotExist) {
		return failf(exitOffline, "%s is there: an earlier run was interrupted", unfinished).
			hint("nothing in it is needed: rm -r %s", unfinished)
	}
	target, err := env.NewOS(unfinished)
	if err != nil {
		return err
	}
	e := target.Env()
	bar := a.progress("bytes of the state", source.Bytes())
	founded, err := source.Run(e.FS, r.token, recovery.Options{Rand: e.Rand, Copied: func(bytes int) { bar.Add(bytes) }})
	bar.Finish()
	if err = errors.Join(err, target.Close()); err != nil {
		err = errors.Join(err, os.RemoveAll(unfinished))
		if errors.Is(err, recovery.ErrToken) {
			return failf(exitOffline, "%w", err).hint("read what the plan says now: quorumctl recover %s --plan", r.dir)
		}
		return err
	}
	if err := publishFolder(unfinished, r.to); err != nil {
		return err
	}
	return printer.Print(struct {
		recovery.Founded
		Folder string `json:"folder"`
	}{founded, r.to}, func(w io.Writer) { r.writeDone(w, source.Plan(), founded) })
}

// publishFolder gives a folder its name, durably.
func publishFolder(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	if err := errors.Join(parent.Sync(), parent.Close()); err != nil {
		return fmt.Errorf("sync the folder above %s: %w", to, err)
	}
	return nil
}
