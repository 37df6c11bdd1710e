package local

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// Node is one member of a local cluster: at any time at most one process.
type Node struct {
	Name                 string
	ClientPort, PeerPort int
	Data, Log, Config    string // paths

	settings    map[string]string
	server      string // executable
	writer      string
	deathSignal syscall.Signal
	died        func(Exit)
	cluster     *Cluster

	mu      sync.Mutex
	process *process // guarded by mu; the newest, nil before the first start
	closed  bool     // guarded by mu; nothing starts any more
}

// process is one run of a node.
type process struct {
	cmd      *exec.Cmd
	logStart int64          // where its part of the log begins
	asked    syscall.Signal // guarded by the node's mu; by which we asked it to end, 0 while we have not
	done     chan struct{}  // closed, by the goroutine that waits for the process, once it has ended and exit is set
	exit     Exit
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ClientURL is where the node serves clients.
func (n *Node) ClientURL() string { return "http://" + n.ClientAddress() }

// ClientAddress is ClientURL as host:port.
func (n *Node) ClientAddress() string { return address(n.ClientPort) }

// PeerURL is where the other nodes reach it.
func (n *Node) PeerURL() string { return "http://" + address(n.PeerPort) }

// Start runs the node, again if it ran before: with the same data, ports and log. It does not wait until it serves.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return fmt.Errorf("start %s: %w", n.Name, ErrClosed)
	}
	if n.process != nil && !n.process.ended() {
		return fmt.Errorf("start %s: it runs already, as process %d", n.Name, n.process.cmd.Process.Pid)
	}
	log, err := os.OpenFile(n.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", n.Name, err)
	}
	defer log.Close() // the child has its own handle
	p := &process{done: make(chan struct{})}
	if p.logStart, err = log.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("open the log of %s: %w", n.Name, err)
	}
	// A process group of its own: the terminal's Ctrl-C goes to our group alone.
	p.cmd = exec.Command(n.server, "--config-file", n.Config)
	p.cmd.Env = nodeEnvironment(os.Environ())
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = ownGroup(n.deathSignal)
	if err := n.cluster.onLauncher(p.cmd.Start); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	n.process = p
	n.cluster.waiters.Go(func() { n.await(p) })
	return nil
}

// await waits for the end of a process.
func (n *Node) await(p *process) {
	// Wait's error repeats what ProcessState says better; see exitReason.
	_ = p.cmd.Wait()
	state := p.cmd.ProcessState
	p.exit = Exit{
		Node: n, PID: state.Pid(), Clean: state.Success(), Reason: exitReason(state), LastLines: n.linesFrom(p.logStart),
	}
	n.mu.Lock()
	asked := p.asked
	n.mu.Unlock()
	close(p.done)
	if n.died != nil && !answers(state, asked) {
		n.died(p.exit)
	}
}

// Runs tells whether the node has been started and has not ended. A paused node runs.
func (n *Node) Runs() bool { return n.running() != nil }

// running returns the process that has not ended, or nil.
func (n *Node) running() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil || n.process.ended() {
		return nil
	}
	return n.process
}

// PID is that of the newest process, 0 before the first start.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return 0
	}
	return n.process.cmd.Process.Pid
}

// Done is closed once the newest process has ended. It is nil, and so never ready, before the first start.
func (n *Node) Done() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return nil
	}
	return n.process.done
}

// Exit says how the newest process ended; false while it runs, and before the first start.
func (n *Node) Exit() (Exit, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil || !n.process.ended() {
		return Exit{}, false
	}
	return n.process.exit, true
}

// close kills the process, if there is one, and lets none be started.
func (n *Node) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	_ = n.Kill() // fails only when nothing runs
}
