package cluster

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// launcher is the one OS thread that starts children. Pdeathsig fires when the *thread* that forked ends, not the
// process, so children are started from a thread that lives exactly as long as the test binary.
var launcher = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func()) // from any goroutine to the launcher; never closed
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

// launch starts cmd so that it dies with this process.
func launch(cmd *exec.Cmd) error {
	// Its own process group keeps a terminal's Ctrl-C away from it: the test decides how it ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	launcher() <- func() { started <- cmd.Start() }
	return <-started
}
