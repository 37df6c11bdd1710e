package local_test

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

// SIGKILL of the program takes its nodes along, also one that is paused. A connection to a node tells when that has ended.
func TestNodesDieWithTheProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asProcess+"=parent")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("no cluster was started")
	}
	defer os.RemoveAll(lines.Text())
	var conns []net.Conn
	for range 3 {
		lines.Scan()
		conn, err := net.Dial("tcp", lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range conns {
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the node at %v is left behind", conn.RemoteAddr())
		}
	}
}

// The kernel takes the end of the thread that starts a process for the end of its parent: whoever calls Start must not
// lend its own.
func TestNodesOutliveTheThreadThatStartsThem(t *testing.T) {
	t.Setenv(asProcess, "node")
	c, err := open(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		started <- c.Start()
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	awaitHealthy(t, c)
}
