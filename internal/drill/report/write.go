package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Names of the files that [Report.Write] writes.
const (
	PageName = "report.html"
	DataName = "report.json"
)

// Write writes the report as a page and as data into a directory, which it makes if there is none. Each file is there
// whole or not at all. Errors name the path.
func (r *Report) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		return fmt.Errorf("write report %s: %w", filepath.Join(dir, PageName), err)
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write report %s: %w", filepath.Join(dir, DataName), err)
	}
	if err := replace(filepath.Join(dir, DataName), append(data, '\n')); err != nil {
		return err
	}
	return replace(filepath.Join(dir, PageName), page.Bytes())
}

// replace puts a file in the place of what was there, at once.
func replace(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write report %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("write report %s: %w", path, err)
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
