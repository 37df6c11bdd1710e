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

// Pause stops the process where it is, until Continue, Terminate or Kill.
func (n *Node) Pause() error { return n.signal(syscall.SIGSTOP) }

// Continue lets a paused process go on.
func (n *Node) Continue() error { return n.signal(syscall.SIGCONT) }

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

func (n *Node) signal(s syscall.Signal) error {
	p := n.running()
	if p == nil {
		return fmt.Errorf("%v to %s: %w", s, n.Name, ErrNotRunning)
	}
	err := p.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		err = ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("%v to %s: %w", s, n.Name, err)
	}
	return nil
}
