package main

import "syscall"

// ownGroup also has the kernel stop the child when we die without stopping it (kill -9): no node is left behind. The
// kernel watches the thread that started the child, hence the LockOSThread in localCluster.run.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
