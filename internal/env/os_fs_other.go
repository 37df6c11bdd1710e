//go:build !linux

package env

import "os"

// datasync flushes everything: there is no portable fdatasync. On macOS this is F_FULLFSYNC, which reaches the platter.
func datasync(file *os.File) error { return file.Sync() }

// reserve leaves it to the zeros to allocate the blocks.
func reserve(*os.File, int64) error { return nil }
