package cluster

import (
	"bytes"
	"os/exec"
	"strings"
	"time"
)

// Result is what a command left behind.
type Result struct {
	Stdout, Stderr string
	Code           int  // -1 when a signal ended it
	TimedOut       bool // it ran on and was killed
}

// Run executes a command that is expected to end by itself.
func Run(t T, path string, args []string, timeout time.Duration) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = environment()
	if err := launch(cmd); err != nil {
		t.Fatalf("run %s %s: %v", path, strings.Join(args, " "), err)
	}
	var late bool
	timer := time.AfterFunc(timeout, func() { cmd.Process.Kill() })
	cmd.Wait() // the state says how it ended
	late = !timer.Stop()
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode(), TimedOut: late}
}
