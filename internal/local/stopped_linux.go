package local

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitStopped returns when the child, to which SIGSTOP was sent, does nothing any more: kill(2) returns before the last
// of its threads has seen the signal. A child that ended instead is no error: it may as well end right after.
func awaitStopped(pid int) error {
	for {
		// WNOWAIT leaves the end to the goroutine that waits for it, ECHILD says that it was faster.
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD):
			return nil
		default:
			return err
		}
	}
}
