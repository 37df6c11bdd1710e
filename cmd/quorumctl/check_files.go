package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cheggaaa/pb/v3"
	"github.com/spf13/cobra"

	datacheck "github.com/quorumkv/quorumkv/storage/check"
)

const checkFilesHelp = `Look for damage in the data directory of a member that does not run.

Nothing is changed. Identity, hard state, log, state file and snapshots are read whole, every checksum is verified, and
they are compared with each other. For each damage there is what it is, where, what a server does about it when it is
started on the directory, and the command to run next.

    note      no damage: a crash leaves such things
    harmless  it costs nothing
    repairs   the server makes it good by itself, from its own files or its peers
    refuses   the server does not start, or takes no part
    unsafe    the server would start: do not let it

` + "`quorumctl check DIR` is the same, if DIR is a folder. The exit code is 0 when nothing is damaged, 1 when something is,\n" +
	"2 when the directory could not be checked, for example because a server runs on it."

func (a *app) newCheckFiles() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "files [options] <data directory>",
		Short: "Look for damage in the files of a member that does not run",
		Long:  checkFilesHelp,
		Example: `  quorumctl check files n1.quorumkv
  quorumctl check n1.quorumkv -w json`,
		DisableFlagsInUseLine: true,
	}
	cmd.RunE = offline(func(cmd *cobra.Command, args []string) error {
		dir, err := oneDir(cmd, args)
		if err != nil {
			return err
		}
		return a.checkFiles(cmd, dir)
	})
	return cmd
}

func (a *app) checkFiles(cmd *cobra.Command, dir string) error {
	printer, err := a.prepareOffline(cmd)
	if err != nil {
		return err
	}
	files, err := openDataDir(dir)
	if err != nil {
		return err
	}
	defer files.Close()
	var bar *pb.ProgressBar
	report, err := datacheck.Run(files.FS, datacheck.Options{
		Dir: dir, Pages: a.checkPages,
		Total: func(bytes int64) { bar = a.progress("bytes", bytes) },
		Read:  func(bytes int64) { bar.Add64(bytes) },
	})
	if bar != nil {
		bar.SetCurrent(bar.Total()).Finish() // small files do not count on the way
	}
	if err != nil {
		f := failf(exitOffline, "%w", err)
		if errors.Is(err, fs.ErrPermission) {
			return f.hint("%s", asServersUser)
		}
		return f.hint("it is what the server's --data-dir says")
	}
	if err := printer.Print(report, checkText{dir, report}.write); err != nil {
		return err
	}
	if report.Damaged() {
		return &failure{code: exitDamaged}
	}
	return nil
}

// isFolder tells whether the word behind `check` is a data directory, or means to be one.
func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir() || strings.ContainsRune(name, filepath.Separator)
}
