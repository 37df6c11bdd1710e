package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorumkv/quorumkv/internal/local"
	"github.com/quorumkv/quorumkv/internal/local/fakenode"
)

// process is `quorumkv cluster` as a process of its own, with fake nodes below it.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	seen  []string
	errs  bytes.Buffer
}

func startProcess(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(self, args...)}
	// A name in the shell must not reach the nodes, whose names their files give.
	p.cmd.Env = append(append(os.Environ(), asProcess+"=command", "ETCD_NAME=shell", "QUORUMKV_NAME=shell"), env...)
	p.cmd.Stderr = &p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// After a failed test: SIGTERM, so that the nodes end too, and once more for the impatient.
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Signal(syscall.SIGTERM)
			p.cmd.Process.Signal(syscall.SIGTERM)
			p.cmd.Wait()
		}
	})
	return p
}

// await reads lines up to the first that contains text and returns it.
func (p *process) await(text string) string {
	p.t.Helper()
	for p.lines.Scan() {
		p.seen = append(p.seen, p.lines.Text())
		if strings.Contains(p.lines.Text(), text) {
			return p.lines.Text()
		}
	}
	p.t.Fatalf("no line with %q in:\n%s\nstderr: %s", text, strings.Join(p.seen, "\n"), p.errs.String())
	return ""
}

// end reads to the end and returns the remaining lines and the exit status.
func (p *process) end() (rest []string, status int) {
	for p.lines.Scan() {
		rest = append(rest, p.lines.Text())
	}
	p.seen = append(p.seen, rest...)
	p.cmd.Wait()
	return rest, p.cmd.ProcessState.ExitCode()
}

// endInOrder reads to the end, which must be a stop of these nodes in this order. How long each takes, and so whether
// there is a line about waiting for it, is the machine's business.
func (p *process) endInOrder(names ...string) {
	p.t.Helper()
	rest, status := p.end()
	var stopped []string
	for _, line := range rest {
		if !strings.HasPrefix(line, "waiting for ") {
			stopped = append(stopped, strings.TrimSuffix(line, " stopped"))
		}
	}
	if status != 0 || !slices.Equal(stopped, names) {
		p.t.Fatalf("exit status %d, %q, want %q stopped; stderr %s", status, rest, names, p.errs.String())
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// freePort returns a port under which a cluster of that many nodes finds all it needs.
func freePort(t *testing.T, nodes int) int {
	t.Helper()
	for range 100 {
		l := layout{Nodes: nodes, Port: 10_240 + rand.IntN(12_000)}
		if local.CheckPorts(l.nodes(nil)) == nil {
			return l.Port
		}
	}
	t.Fatal("no free ports")
	return 0
}

var tableRow = regexp.MustCompile(`^(n\d)\s+(\d+)\s+(\w+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)$`)

// rows returns name -> columns of the table seen so far.
func (p *process) rows() map[string][]string {
	rows := map[string][]string{}
	for _, line := range p.seen {
		if m := tableRow.FindStringSubmatch(line); m != nil {
			rows[m[1]] = m[2:]
		}
	}
	return rows
}

func gone(t *testing.T, pid string) bool {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	return syscall.Kill(n, 0) == syscall.ESRCH
}

// A cluster for drills tells the token that its nodes have in their files, and no other cluster has one.
func TestClusterForDrills(t *testing.T) {
	dir, port := filepath.Join(t.TempDir(), "it"), strconv.Itoa(freePort(t, 3))
	for _, drills := range []bool{true, false} {
		p := startProcess(t, nil, "cluster", "--data-dir", dir, "--port", port, "--enable-drills="+strconv.FormatBool(drills))
		p.await("Ctrl-C stops all nodes")
		_, hint, told := strings.Cut(strings.Join(p.seen, "\n"), "QUORUMCTL_DRILLS_TOKEN=")
		token, hint, _ := strings.Cut(hint, " ")
		text, err := os.ReadFile(filepath.Join(dir, "n2.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if told != drills || strings.Contains(hint, "drill split-brain\n") != drills ||
			strings.Contains(string(text), "enable-drills") != drills || !strings.Contains(string(text), token) {
			t.Errorf("drills %t: the token is %q, and the file says:\n%s", drills, token, text)
		}
		p.signal(syscall.SIGINT)
		p.end()
	}
}

// One life of a cluster: start, table, a killed node, Ctrl-C, and once more with the same folder.
func TestClusterLife(t *testing.T) {
	dir, port := filepath.Join(t.TempDir(), "it's new"), freePort(t, 3)
	p := startProcess(t, nil, "cluster", "--data-dir", dir, "--port", strconv.Itoa(port))
	p.await("Ctrl-C stops all nodes")
	rows := p.rows()
	if len(rows) != 0 {
		t.Fatalf("a path with a blank cannot match the pattern, yet %v", rows)
	}
	p.signal(syscall.SIGINT)
	p.await("stopping")
	p.endInOrder("n1", "n3", "n2")

	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.Rename(dir, plain); err != nil {
		t.Fatal(err)
	}
	p = startProcess(t, nil, "cluster", "--data-dir", plain) // goes on with the folder's port
	p.await("Ctrl-C stops all nodes")
	rows = p.rows()
	for i, role := range []string{"follower", "leader", "follower"} {
		name, clients := "n"+strconv.Itoa(i+1), port+10_000*i
		want := []string{
			role, "http://127.0.0.1:" + strconv.Itoa(clients), "http://127.0.0.1:" + strconv.Itoa(clients+1),
			filepath.Join(plain, name), filepath.Join(plain, name+".log"),
		}
		if row := rows[name]; len(row) == 0 || !cmp.Equal(row[1:], want) {
			t.Errorf("%s: row %v, want %v", name, row, want)
		}
	}
	hint := strings.Join(p.seen, "\n")
	for _, want := range []string{"put greeting hello", "get greeting", "endpoint status", "kill -9 " + rows["n2"][0]} {
		if !strings.Contains(hint, want) {
			t.Errorf("no hint %q in:\n%s", want, hint)
		}
	}

	pid, err := strconv.Atoi(rows["n2"][0])
	if err != nil {
		t.Fatal(err)
	}
	if pgid, err := syscall.Getpgid(pid); err != nil || pgid != pid {
		t.Errorf("the node's process group is %d (%v): a Ctrl-C of the terminal would reach it", pgid, err)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	p.await("n2 (pid " + rows["n2"][0] + ") has ended: killed by signal 9 (killed)")
	p.await("last lines of " + filepath.Join(plain, "n2.log"))
	p.await("fake node n2 starts")
	p.await("2 of 3 nodes run, still a majority")
	p.await("--config-file " + filepath.Join(plain, "n2.yaml"))
	p.signal(syscall.SIGTERM)
	p.await("stopping")
	p.endInOrder("n1", "n3")
	for name, row := range rows {
		if !gone(t, row[0]) {
			t.Errorf("%s is left behind", name)
		}
	}
	log, err := os.ReadFile(filepath.Join(plain, "n1.log"))
	if err != nil || strings.Count(string(log), "fake node n1 got terminated") != 2 {
		t.Errorf("want the log of both runs with SIGTERM, not SIGINT (%v):\n%s", err, log)
	}
}

func TestClusterAllNodesDie(t *testing.T) {
	p := startProcess(t, nil, "cluster", "--data-dir", filepath.Join(t.TempDir(), "c"), "--port", strconv.Itoa(freePort(t, 3)))
	p.await("Ctrl-C stops all nodes")
	for _, row := range p.rows() {
		pid, err := strconv.Atoi(row[0])
		if err != nil {
			t.Fatal(err)
		}
		syscall.Kill(pid, syscall.SIGKILL)
	}
	p.await("1 of 3 nodes run, no majority")
	if _, status := p.end(); status != 1 || !strings.Contains(p.errs.String(), "all 3 nodes have ended") {
		t.Errorf("exit status %d, stderr %s", status, p.errs.String())
	}
}

// A node that does not start takes the others down again, with one line that says which and why.
func TestClusterNodeDoesNotStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "c")
	p := startProcess(t, []string{fakenode.Broken + "=n5", fakenode.Sick + "=n3"},
		"cluster", "--nodes=5", "--data-dir", dir, "--port", strconv.Itoa(freePort(t, 5)))
	_, status := p.end()
	want := "quorumkv: n5 ended before it was healthy (exit status 3): the disk is on fire (its log is " +
		filepath.Join(dir, "n5.log") + ")\n"
	if status != 1 || p.errs.String() != want {
		log, err := os.ReadFile(filepath.Join(dir, "n5.log"))
		t.Errorf("exit status %d, stderr %swant %s; n5.log (%v): %q", status, p.errs.String(), want, err, log)
	}
	for _, name := range []string{"n1", "n2", "n3", "n4"} {
		if !strings.Contains(strings.Join(p.seen, "\n"), name+" stopped") {
			t.Errorf("%s was not stopped: %q", name, p.seen)
		}
	}
}

// Ctrl-C works while nodes are still ill; a second one does not wait for a node that does not listen.
func TestClusterInterruptedTwice(t *testing.T) {
	p := startProcess(t, []string{fakenode.Deaf + "=n1", fakenode.Sick + "=n3"},
		"cluster", "--data-dir", filepath.Join(t.TempDir(), "c"), "--port", strconv.Itoa(freePort(t, 3)))
	p.await("is healthy (2 of 3)")
	p.signal(syscall.SIGINT)
	p.await("waiting for n1; Ctrl-C again kills")
	p.signal(syscall.SIGINT)
	if rest, status := p.end(); status != 0 || !slices.Contains(rest, "n1 killed") {
		t.Errorf("exit status %d, %q, stderr %s", status, rest, p.errs.String())
	}
}

// One request that arrives twice, as timeout(1) sends it, is still an orderly stop. The second signal is of another kind
// because equal ones may be merged.
func TestClusterSignalledTwiceAtOnce(t *testing.T) {
	p := startProcess(t, nil, "cluster", "--data-dir", filepath.Join(t.TempDir(), "c"), "--port", strconv.Itoa(freePort(t, 3)))
	p.await("Ctrl-C stops all nodes")
	p.signal(syscall.SIGINT)
	p.signal(syscall.SIGTERM)
	p.await("stopping")
	p.endInOrder("n1", "n3", "n2")
}

// What cannot work is refused before any process starts.
func TestClusterRefuses(t *testing.T) {
	port := freePort(t, 5)
	made := filepath.Join(t.TempDir(), "made")
	l := layout{Nodes: 3, Port: port}
	c, err := local.New(local.Config{Dir: made, Nodes: l.nodes(nil)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writeFolder(made, l, c), c.Close()); err != nil {
		t.Fatal(err)
	}
	used := t.TempDir()
	if err := os.WriteFile(filepath.Join(used, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, layoutFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"other node count", []string{"--data-dir", made, "--nodes=5"},
			"--nodes 5: the folder " + made + " was made with 3 nodes; leave --nodes out or choose another --data-dir"},
		{"other port", []string{"--data-dir", made, "--port=4"},
			"--port 4: the folder " + made + " was made with port " + strconv.Itoa(port) +
				"; leave --port out or choose another --data-dir"},
		{"someone's folder", []string{"--data-dir", used},
			"--data-dir " + used + " holds other files (thesis.tex): choose an empty or new folder"},
		{"damaged", []string{"--data-dir", damaged},
			filepath.Join(damaged, layoutFile) + ` is damaged: put back {"nodes":3,"port":2379} with this cluster's numbers`},
		{"file in the way", []string{"--data-dir", filepath.Join(used, "thesis.tex"), "--port", strconv.Itoa(port)},
			"read --data-dir: open " + filepath.Join(used, "thesis.tex", layoutFile) + ": not a directory"},
		{"unwritable", []string{"--data-dir", "/proc/none/c", "--port", strconv.Itoa(port)},
			"make --data-dir: mkdir /proc/none: no such file or directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if status := run(append([]string{"cluster"}, c.args...), &out, &errs); status != 1 {
				t.Errorf("exit status %d", status)
			}
			if got, want := errs.String(), "quorumkv: "+c.want+"\n"; got != want {
				t.Errorf("got  %swant %s", got, want)
			}
			if out.Len() > 0 {
				t.Errorf("something started: %s", out.String())
			}
		})
	}
}

func TestClusterPortTaken(t *testing.T) {
	l := layout{Nodes: 3, Port: freePort(t, 3)}
	holder := startProcess(t, nil, "cluster", "--data-dir", filepath.Join(t.TempDir(), "a"), "--port", strconv.Itoa(l.Port))
	holder.await("n1 is healthy")
	fresh := filepath.Join(t.TempDir(), "b")
	var errs bytes.Buffer
	status := run([]string{"cluster", "--data-dir", fresh, "--port", strconv.Itoa(l.Port)}, io.Discard, &errs)
	want := "quorumkv: port " + strconv.Itoa(l.Port) +
		" (clients of n1) is taken: stop the process that has it, or choose another --port\n"
	if status != 1 || errs.String() != want {
		t.Errorf("exit status %d, %s", status, errs.String())
	}
	if _, err := os.Stat(fresh); !os.IsNotExist(err) {
		t.Errorf("a folder was made: %v", err)
	}
}

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{"/a/b-1.yaml": "/a/b-1.yaml", "/a b": "'/a b'",
		"it's": `'it'\''s'`, "$x": "'$x'"} {
		if got := shellWord(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestBesideFindsTheNeighbour(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "quorumctl"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, want string }{
		{filepath.Join(dir, "quorumkv"), filepath.Join(dir, "quorumctl")},
		{filepath.Join(t.TempDir(), "quorumkv"), "quorumctl"}, // it has none
		{"quorumkv", "quorumctl"},
	} {
		if got := beside(c.command, "quorumctl"); got != c.want {
			t.Errorf("beside %s: %s, want %s", c.command, got, c.want)
		}
	}
}
