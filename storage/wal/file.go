package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/quorumkv/quorumkv/internal/env"
)

// root is the node's data directory.
const root = "."

// writeNew makes a small file that appears under its name complete and durable, or not at all.
func writeNew(f env.FS, name string, content []byte) error {
	tmp := name + tmpSuffix
	file, err := f.Create(tmp, int64(len(content)))
	if err != nil {
		return fmt.Errorf("create %s: %w", tmp, err)
	}
	if _, err := file.WriteAt(content, 0); err != nil {
		return fmt.Errorf("write %s: %w", tmp, errors.Join(err, file.Close()))
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", tmp, err)
	}
	if err := f.Rename(tmp, name); err != nil {
		return fmt.Errorf("rename %s: %w", tmp, err)
	}
	if err := f.SyncDir(root); err != nil {
		return fmt.Errorf("sync directory of %s: %w", name, err)
	}
	return nil
}

// exists says whether a file of that name can be opened.
func exists(f env.FS, name string) (bool, error) {
	file, err := f.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, file.Close()
}

// readAll reads a whole file, up to most bytes of it.
func readAll(file env.File, most int64) ([]byte, error) {
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, most))
	return b, readAt(file, b, 0)
}
