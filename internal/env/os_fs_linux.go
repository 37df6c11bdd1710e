package env

import (
	"os"
	"syscall"
)

// datasync flushes content and size, but not timestamps, which would cost a journal commit each time.
func datasync(file *os.File) error { return control(file, syscall.Fdatasync) }

// reserve allocates the blocks in one piece, and finds out about a full disk before anything is written. File systems
// that cannot do it get their blocks from the zeros.
func reserve(file *os.File, size int64) error {
	err := control(file, func(fd int) error { return syscall.Fallocate(fd, 0, 0, size) })
	switch err {
	case syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EINVAL:
		return nil
	}
	return err
}
