//go:build !linux

package env

import (
	"os"
	"syscall"
)

// unreadableErrors are what a read ends with that the device has failed.
var unreadableErrors = [...]error{syscall.EIO}

// datasync flushes everything: there is no portable fdatasync. On macOS this is F_FULLFSYNC, which reaches the platter.
func datasync(file *os.File) error { return file.Sync() }

// reserve leaves it to the zeros to allocate the blocks.
func reserve(*os.File, int64) error { return nil }

// forget does nothing: there is no portable way to ask for it.
func forget(*os.File, int64, int64) {}
