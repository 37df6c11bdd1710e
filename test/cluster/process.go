package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is one run of a server. A node that restarts gets a new one.
type process struct {
	cmd     *exec.Cmd
	started time.Time
	output  *outputLog
	exited  chan struct{}    // closed by the waiter once state and output are complete
	state   *os.ProcessState // after exited
	ended   time.Time        // after exited
}

func spawn(path string, args []string) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = w, w
	cmd.Env = environment()
	p := &process{cmd: cmd, output: newOutputLog(), exited: make(chan struct{}), started: time.Now()}
	err = launch(cmd)
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	go func() {
		defer close(p.exited)
		p.output.fill(r) // ends when the process, the only holder of w, is gone
		r.Close()
		cmd.Wait() // the state says how it ended
		p.state, p.ended = cmd.ProcessState, time.Now()
	}()
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) signal(s unix.Signal) error { return p.cmd.Process.Signal(s) }

// wait reports whether the process ended within d.
func (p *process) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
		return false
	}
}

// awaitStopped blocks until the kernel has taken the process off the CPU after SIGSTOP.
func (p *process) awaitStopped() error {
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err
		}
	}
}

// environment is ours without the variables that would configure a server or a client behind the test's back.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ETCD") && !strings.HasPrefix(v, "QUORUM") {
			env = append(env, v)
		}
	}
	return env
}
