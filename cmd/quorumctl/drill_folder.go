package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	drillreport "github.com/quorumkv/quorumkv/internal/drill/report"
)

// historyFile is a drill's history; beside it are the files of package report.
const historyFile = "history.jsonl.gz"

// drillFolder is where a drill leaves what it has found.
type drillFolder struct {
	path string
	made bool // by us
	logs []string
}

// newDrillFolder makes the folder before the drill begins: who cannot write should know it sooner.
func newDrillFolder(path, name string) (*drillFolder, error) {
	if path == "" {
		path = "drill-" + name + "-" + time.Now().Format("20060102-150405")
	}
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, fmt.Errorf("make the report's folder: %w; name another one with --report", err)
		}
		return &drillFolder{path: path, made: true}, nil
	case err != nil:
		return nil, fmt.Errorf("look into the report's folder: %w; name a new or empty folder with --report", err)
	case len(entries) > 0:
		return nil, fmt.Errorf("the report's folder %s is not empty; name a new one with --report", path)
	}
	return &drillFolder{path: path}, nil
}

// abandon takes the folder away again, unless somebody else made it or there is something in it.
func (f *drillFolder) abandon() {
	if f.made && len(f.logs) == 0 {
		os.Remove(f.path)
	}
}

// mention adds to an error that there are logs to look into, if there are.
func (f *drillFolder) mention(err error) error {
	if len(f.logs) == 0 {
		return err
	}
	var told *failure
	if !errors.As(err, &told) {
		told = failf(exitNoDrill, "%w", err)
	}
	return told.hint("the members' logs are in %s", f.path)
}

// takeLogs copies what the members logged. What cannot be copied is left out: the drill's result does not depend on it.
func (f *drillFolder) takeLogs(c *drillCluster) {
	for i, m := range c.Members() {
		from, err := os.Open(c.Processes().Log(i))
		if err != nil {
			continue
		}
		path := filepath.Join(f.path, m.Name+".log")
		if f.create(path, func(w io.Writer) error { _, err := io.Copy(w, from); return err }) == nil {
			f.logs = append(f.logs, path)
		}
		from.Close()
	}
}

func (f *drillFolder) write(r *drillreport.Report, h *history.History) error {
	err := f.create(filepath.Join(f.path, historyFile), func(w io.Writer) error { return writeHistory(w, h) })
	if err == nil {
		err = r.Write(f.path)
	}
	if err != nil {
		return fmt.Errorf("the drill is over (%s), but its report is not written: %w", r.Verdict, err)
	}
	return nil
}

// create writes a file, and takes it away again when that fails.
func (f *drillFolder) create(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	err = errors.Join(write(file), file.Close())
	if err != nil {
		os.Remove(path)
	}
	return err
}

func (f *drillFolder) copyReport(w io.Writer) error {
	file, err := os.Open(filepath.Join(f.path, drillreport.DataName))
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(w, file)
	return err
}

// lines say what is where, and what it is for.
func (f *drillFolder) lines() []string {
	lines := []string{
		"report   " + filepath.Join(f.path, drillreport.PageName),
		"data     " + filepath.Join(f.path, drillreport.DataName),
		"history  " + filepath.Join(f.path, historyFile) + "  (judge it again: quorumctl drill check " + shellWord(f.path) + ")",
	}
	for _, path := range f.logs {
		lines = append(lines, "log      "+path)
	}
	return lines
}

func writeHistory(w io.Writer, h *history.History) error {
	z := gzip.NewWriter(w)
	return errors.Join(history.Write(z, h), z.Close())
}

// readHistory reads the history of a drill's folder, or of a file with or without compression.
func readHistory(path string) (*history.History, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, historyFile)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the history: %w; name the folder of a drill's report", err)
	}
	defer file.Close()
	var in io.Reader = file
	if filepath.Ext(path) == ".gz" {
		if in, err = gzip.NewReader(file); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	h, err := history.Read(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}
