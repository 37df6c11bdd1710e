package local

import "syscall"

// ownGroup also has the kernel send the child a signal when we die without stopping it (kill -9): no node is left behind.
// The kernel watches the thread that started the child, hence Cluster.launch.
func ownGroup(deathSignal syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: deathSignal}
}
