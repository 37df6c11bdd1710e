package env

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// unreadableErrors are what a read ends with that the device has failed: by its own account, or by checksums of the file
// system.
var unreadableErrors = [...]error{syscall.EIO, syscall.EBADMSG, syscall.EUCLEAN, syscall.ENODATA}

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

// forget asks for the pages to be dropped that are not dirty. Whether they are is of no consequence.
func forget(file *os.File, off, length int64) {
	_ = control(file, func(fd int) error { return unix.Fadvise(fd, off, length, unix.FADV_DONTNEED) })
}
