package local

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrNotRunning means that a node has no process to which something could be done.
var ErrNotRunning = errors.New("it does not run")

// Kill ends the process at once, paused or not, and returns when it is gone.
func (n *Node) Kill() error {
	p, err := n.end(syscall.SIGKILL)
	if err != nil {
		return err
	}
	<-p.done
	return nil
}

// Terminate asks the process to end, and wakes it if it is paused. Done tells when it has ended.
func (n *Node) Terminate() error {
	_, err := n.end(syscall.SIGTERM, syscall.SIGCONT)
	return err
}

// Pause stops the process where it is, until Continue, Terminate or Kill. It returns when none of its threads runs.
func (n *Node) Pause() error {
	p, err := n.signal(syscall.SIGSTOP)
	if err != nil {
		return err
	}
	if err := awaitStopped(p.cmd.Process.Pid); err != nil {
		return fmt.Errorf("wait until %s is paused: %w", n.Name, err)
	}
	return nil
}

// Continue lets a paused process go on.
func (n *Node) Continue() error {
	_, err := n.signal(syscall.SIGCONT)
	return err
}

// end sends the signals, of which the first asks for the end.
func (n *Node) end(signals ...syscall.Signal) (*process, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.process
	if p == nil || p.ended() {
		return nil, fmt.Errorf("%v to %s: %w", signals[0], n.Name, ErrNotRunning)
	}
	p.asked = signals[0]
	for _, s := range signals {
		// That it has just ended is what we want.
		if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return nil, fmt.Errorf("%v to %s: %w", s, n.Name, err)
		}
	}
	return p, nil
}

// signal sends one that does not ask for the end, and returns the process that got it.
func (n *Node) signal(s syscall.Signal) (*process, error) {
	p := n.running()
	if p == nil {
		return nil, fmt.Errorf("%v to %s: %w", s, n.Name, ErrNotRunning)
	}
	err := p.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		err = ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("%v to %s: %w", s, n.Name, err)
	}
	return p, nil
}
