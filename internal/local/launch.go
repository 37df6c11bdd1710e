package local

import "runtime"

// launch starts the processes, all from one thread that lives until Close: on Linux the kernel takes the end of the thread
// that started a process for the end of its parent, see ownGroup.
func (c *Cluster) launch() {
	defer close(c.launched)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for start := range c.starts {
		start()
	}
}

// onLauncher runs f on the thread of launch.
func (c *Cluster) onLauncher(f func() error) error {
	answer := make(chan error, 1) // f's, sent once
	c.starts <- func() { answer <- f() }
	return <-answer
}
