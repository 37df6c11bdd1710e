package cluster

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// readyLine is part of the line that a server prints once it serves clients.
const readyLine = "ready to serve client requests"

const (
	readyTimeout = 60 * time.Second // a busy machine is no reason to fail; a hang is
	stopTimeout  = 20 * time.Second
)

// Node is one member: fixed ports, directory and command line, and at most one process at a time.
type Node struct {
	Name       string
	Dir        string // data directory
	ClientAddr string // host:port
	PeerAddr   string

	t          T
	program    Program
	args       []string
	proc       *process // nil before the first start
	earlier    []string // what earlier processes printed last
	paused     bool
	generation atomic.Int64 // see Generation
}

// ClientURL is where clients find the node.
func (n *Node) ClientURL() string { return "http://" + n.ClientAddr }

// Args returns the node's command line without the program.
func (n *Node) Args() []string { return append([]string(nil), n.args...) }

// Generation changes whenever the node starts or ends. Safe from any goroutine: two equal values before and after a
// request mean that one and the same process answered it. It is odd while the process is meant to run.
func (n *Node) Generation() int64 { return n.generation.Load() }

// Running reports whether the process lives; a paused one does.
func (n *Node) Running() bool { return n.proc != nil && n.proc.running() }

// Start launches the process and returns at once.
func (n *Node) Start() {
	n.t.Helper()
	if n.Running() {
		n.t.Fatalf("start %s: it runs already", n.Name)
	}
	if n.proc != nil {
		n.earlier = append(n.earlier, n.proc.output.tail(30)...)
		n.earlier = append(n.earlier, "--- process ended: "+n.proc.state.String())
		n.earlier = n.earlier[max(0, len(n.earlier)-200):]
	}
	proc, err := spawn(n.program.Path, n.args)
	if err != nil {
		n.t.Fatalf("start %s: %v", n.Name, err)
	}
	n.proc = proc
	n.generation.Add(1)
}

// AwaitReady blocks until the node says that it serves clients, and returns how long that took since its start.
func (n *Node) AwaitReady() time.Duration {
	n.t.Helper()
	if _, ok := n.AwaitLog(readyLine, readyTimeout); !ok {
		n.t.Fatalf("await %s: no line %q after %v (running: %v)", n.Name, readyLine, readyTimeout, n.Running())
	}
	return time.Since(n.proc.started)
}

// AwaitLog blocks until the current process has printed a line with text. It returns false when the process ended or the
// time passed without it.
func (n *Node) AwaitLog(text string, timeout time.Duration) (string, bool) {
	n.t.Helper()
	if n.proc == nil {
		n.t.Fatalf("await log of %s: it was never started", n.Name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return n.proc.output.await(ctx, text)
}

// Restart starts a node that has ended, with the same command line, and waits until it is ready.
func (n *Node) Restart() time.Duration {
	n.t.Helper()
	n.Start()
	return n.AwaitReady()
}

// Exit says how a process ended.
type Exit struct {
	Code    int           // -1 when a signal ended it
	Elapsed time.Duration // from the signal, or from the start when there was none
	Output  []string
}

// Stop sends SIGTERM and waits for the end.
func (n *Node) Stop() Exit {
	n.t.Helper()
	begin := time.Now()
	n.signal(unix.SIGTERM)
	return n.AwaitExit(begin, stopTimeout)
}

// Terminate sends SIGTERM and returns at once.
func (n *Node) Terminate() { n.t.Helper(); n.signal(unix.SIGTERM) }

// AwaitExit waits until the process has ended, whoever ended it.
func (n *Node) AwaitExit(since time.Time, timeout time.Duration) Exit {
	n.t.Helper()
	if n.proc == nil {
		n.t.Fatalf("await exit of %s: it was never started", n.Name)
	}
	if !n.proc.wait(timeout) {
		n.t.Fatalf("await exit of %s: still running after %v", n.Name, timeout)
	}
	if n.generation.Load()%2 == 1 {
		n.generation.Add(1)
	}
	n.paused = false
	return Exit{Code: n.proc.state.ExitCode(), Elapsed: n.proc.ended.Sub(since), Output: n.proc.output.tail(keepLines)}
}

// Kill sends SIGKILL and waits for the end.
func (n *Node) Kill() {
	n.t.Helper()
	begin := time.Now()
	n.signal(unix.SIGKILL)
	n.AwaitExit(begin, stopTimeout)
}

// Pause stops the process with SIGSTOP; on return it no longer runs.
func (n *Node) Pause() {
	n.t.Helper()
	n.signal(unix.SIGSTOP)
	if err := n.proc.awaitStopped(); err != nil {
		n.t.Fatalf("pause %s: %v", n.Name, err)
	}
	n.paused = true
}

// Continue lets a paused process run again.
func (n *Node) Continue() {
	n.t.Helper()
	n.signal(unix.SIGCONT)
	n.paused = false
}

func (n *Node) signal(s unix.Signal) {
	n.t.Helper()
	if !n.Running() {
		n.t.Fatalf("send %v to %s: it does not run", s, n.Name)
	}
	if err := n.proc.signal(s); err != nil {
		n.t.Fatalf("send %v to %s: %v", s, n.Name, err)
	}
}

// Log returns the last lines of the current process.
func (n *Node) Log(lines int) []string {
	if n.proc == nil {
		return nil
	}
	return n.proc.output.tail(lines)
}

// end is the cleanup: nothing survives it, and nothing in it can fail the test.
func (n *Node) end() {
	if n.Running() {
		n.proc.signal(unix.SIGKILL)
		n.proc.wait(stopTimeout)
	}
}

// story is what the node printed, for a failed test.
func (n *Node) story(lines int) string {
	state := "never started"
	var out []string
	if n.proc != nil {
		state = "running"
		if !n.proc.running() {
			state = n.proc.state.String()
		}
		out = append(append(out, n.earlier...), n.proc.output.tail(keepLines)...)
		out = out[max(0, len(out)-lines):]
	}
	return fmt.Sprintf("=== %s (%s), %s %s\n%s", n.Name, state, n.program.Path, strings.Join(n.args, " "),
		strings.Join(out, "\n"))
}

// Wipe removes the data directory of a node that does not run.
func (n *Node) Wipe() {
	n.t.Helper()
	if n.Running() {
		n.t.Fatalf("wipe %s: it runs", n.Name)
	}
	if err := os.RemoveAll(n.Dir); err != nil {
		n.t.Fatalf("wipe %s: %v", n.Name, err)
	}
}

// CPU returns the processor time that the current process has used.
func (n *Node) CPU() time.Duration {
	n.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.proc.cmd.Process.Pid))
	if err != nil {
		n.t.Fatalf("read CPU time of %s: %v", n.Name, err)
	}
	// The name in parentheses may hold anything; utime and stime are the 14th and 15th field of all.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		v, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			n.t.Fatalf("read CPU time of %s: %v", n.Name, err)
		}
		ticks += v
	}
	return time.Duration(ticks) * time.Second / clockTicks
}

// clockTicks is Linux's USER_HZ, 100 on every platform Go runs on.
const clockTicks = 100

// RSS returns the memory that the current process holds, in bytes.
func (n *Node) RSS() int64 {
	n.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.proc.cmd.Process.Pid))
	if err != nil {
		n.t.Fatalf("read memory of %s: %v", n.Name, err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				n.t.Fatalf("read memory of %s: %v", n.Name, err)
			}
			return kib << 10
		}
	}
	n.t.Fatalf("read memory of %s: no VmRSS", n.Name)
	return 0
}

// Memory returns what the current process holds in memory, in bytes: its own, which is heap, stacks and the like, and of
// mapped files, which the kernel takes back when it needs the room. Safe from any goroutine while the process runs.
func (n *Node) Memory() (anonymous, file int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.proc.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read memory of %s: %w", n.Name, err)
	}
	found := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		name, rest, _ := strings.Cut(line, ":")
		to := &anonymous
		switch name {
		case "RssAnon":
		case "RssFile":
			to = &file
		default:
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read memory of %s: %q: %w", n.Name, line, err)
		}
		*to, found = kib<<10, found+1
	}
	if found != 2 {
		return 0, 0, fmt.Errorf("read memory of %s: no RssAnon and RssFile", n.Name)
	}
	return anonymous, file, nil
}
