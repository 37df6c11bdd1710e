package main

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestExamples executes every example of every help page: what the help shows must work. Commands that run until they are
// stopped are interrupted when they have printed something.
func TestExamples(t *testing.T) {
	defer func(d time.Duration, loads map[string]dataLoad) { perfDuration, dataLoads = d, loads }(perfDuration, dataLoads)
	perfDuration = 200 * time.Millisecond
	dataLoads = map[string]dataLoad{"s": {100, 5}, "m": {200, 10}}
	f := startFake(t)
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return
		}
		if cmd.Name() != "help" && strings.TrimSpace(cmd.Example) == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for _, e := range examples(t, cmd.Example) {
			var stdout, stderr bytes.Buffer
			a := newApp(strings.NewReader(e.stdin), &stdout, &stderr, []string{"QUORUMCTL_ENDPOINTS=" + f.address})
			a.drills = f.drills.engine(t, f)
			if e.args[0] == "drill" {
				t.Chdir(t.TempDir()) // where it leaves its report
				leaveHistory(t, "drill-failover-20261126-153012")
			}
			if e.args[0] == "check" || e.args[0] == "recover" {
				t.Chdir(t.TempDir())
				leaveMember(t, "n1.quorumkv", sampleOfThree)
			}
			if e.args[0] == "elect" || e.args[0] == "lock" && !slices.Contains(e.args, "--") {
				interruptOnOutput(a)
			}
			if e.args[0] == "alarm" {
				f.raise(pb.AlarmType_NOSPACE)
			}
			code := a.run(e.args)
			f.raise()
			if !slices.Contains(exampleCodes(e), code) || stdout.Len() == 0 && code != exitInvalidInput {
				t.Errorf("%q: exit code %d, %d bytes of output\n%s", e.args, code, stdout.Len(), stderr.String())
			}
		}
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	a := newApp(nil, nil, nil, nil)
	a.drills = f.drills.engine(t, f)
	visit(a.newRoot())
}

// exampleCodes are the exit codes of an example that works.
func exampleCodes(e example) []int {
	switch strings.Join(e.args[:min(2, len(e.args))], " ") {
	case "watch -i":
		return []int{exitInvalidInput} // at the end of its input
	case "check perf":
		return []int{0, exitError} // a busy machine may be too slow
	}
	if e.args[0] == "watch" {
		return []int{exitInterrupted} // the server ends it
	}
	return []int{0}
}

type example struct {
	args  []string
	stdin string
}

// examples reads the lines of an Example text: commands, with redirections and here documents as in a shell.
func examples(t *testing.T, text string) []example {
	t.Helper()
	var all []example
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "quorumctl ")
		if !ok {
			if strings.TrimSpace(lines[i]) != "" {
				t.Errorf("not a command: %q", lines[i])
			}
			continue
		}
		var e example
		if command, _, ok := strings.Cut(line, " <<'EOF'"); ok {
			line = command
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "EOF"; i++ {
				e.stdin += lines[i] + "\n"
			}
		} else if command, _, ok := strings.Cut(line, " < "); ok {
			line, e.stdin = command, "content"
		} else {
			line, _, _ = strings.Cut(line, " > ")
		}
		if strings.HasSuffix(line, " -i") && e.stdin == "" {
			e.stdin = "\n\n\n"
		}
		words, err := splitWords(line)
		if err != nil {
			t.Fatal(err)
		}
		e.args = words
		if strings.HasPrefix(line, "endpoint status --endpoints ") || strings.HasPrefix(line, "make-mirror ") {
			continue // names machines that are not there
		}
		all = append(all, e)
	}
	return all
}

// TestFlags pins names, short forms and defaults to etcdctl 3.7's.
func TestFlags(t *testing.T) {
	want := map[string]string{
		"quorumctl": "auth-jwt-token= cacert= cert= command-timeout=5s debug=false dial-timeout=2s " +
			"discovery-srv-name= discovery-srv=(d) endpoints=[127.0.0.1:2379] hex=false insecure-discovery=true " +
			"insecure-skip-tls-verify=false insecure-transport=true keepalive-time=2s keepalive-timeout=6s key= " +
			"max-recv-bytes=0 max-request-bytes=0 password= user= write-out=simple(w)",
		"quorumctl put": "ignore-lease=false ignore-value=false lease=0 prev-kv=false",
		"quorumctl get": "consistency=l count-only=false from-key=false keys-only=false limit=0 max-create-rev=0 " +
			"max-mod-rev=0 min-create-rev=0 min-mod-rev=0 order= prefix=false print-value-only=false rev=0 sort-by= " +
			"stream=false",
		"quorumctl del":              "from-key=false prefix=false prev-kv=false range=false",
		"quorumctl txn":              "interactive=false(i)",
		"quorumctl compaction":       "physical=false",
		"quorumctl watch":            "interactive=false(i) prefix=false prev-kv=false progress-notify=false rev=0",
		"quorumctl lease timetolive": "keys=false",
		"quorumctl lease keep-alive": "once=false",
		"quorumctl lock":             "ttl=10",
		"quorumctl elect":            "listen=false(l)",
		"quorumctl make-mirror": "dest-cacert= dest-cert= dest-insecure-transport=true dest-key= dest-password= dest-prefix= " +
			"dest-user= max-txn-ops=128 no-dest-prefix=false prefix= rev=0",
		"quorumctl check perf":      "auto-compact=false auto-defrag=false load=s prefix=/etcdctl-check-perf/",
		"quorumctl check datascale": "auto-compact=false auto-defrag=false load=s prefix=/etcdctl-check-datascale/",
		"quorumctl endpoint":        "cluster=false",
		"quorumctl endpoint hashkv": "rev=0",
		"quorumctl member list":     "consistency=l",
		"quorumctl recover":         "accept-loss= plan=false to=",
		"quorumctl drill check":     "json=false",
		"quorumctl drill run": "clients=0 drills-token= duration=0s json=false keep=false local=0 report= rounds=0 seed=0 " +
			"server=",
	}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		var flags []string
		cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			text := f.Name + "=" + f.DefValue
			if f.Shorthand != "" {
				text += "(" + f.Shorthand + ")"
			}
			flags = append(flags, text)
		})
		slices.Sort(flags)
		path := cmd.CommandPath()
		if cmd.GroupID == groupDrills {
			path = "quorumctl drill run"
		}
		if got := strings.Join(flags, " "); got != want[path] {
			t.Errorf("%s\n got %s\nwant %s", cmd.CommandPath(), got, want[path])
		}
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	a := newApp(nil, nil, nil, nil)
	a.drills = fakeDrills{}.engine(t, nil)
	visit(a.newRoot())
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"", "help", "--help", "put --help", "help endpoint status", "endpoint", "options",
		"watch --help", "lease", "help lease keep-alive", "lock --help", "elect --help", "make-mirror --help", "check",
		"help check perf", "help check files", "help recover"} {
		var stdout, stderr bytes.Buffer
		code := newApp(strings.NewReader(""), &stdout, &stderr, nil).run(strings.Fields(args))
		if code != 0 || stderr.Len() != 0 {
			t.Errorf("quorumctl %s: exit code %d\n%s", args, code, stderr.String())
		}
		for line := range strings.Lines(stdout.String()) {
			if strings.Contains(line, "etcdctl ") {
				t.Errorf("quorumctl %s names another program: %s", args, line)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	version = "1.2.3"
	defer func() { version = "" }()
	var stdout, stderr bytes.Buffer
	newApp(strings.NewReader(""), &stdout, &stderr, nil).run([]string{"version"})
	if want := "quorumctl version: 1.2.3\nAPI version: 3.7\n"; stdout.String() != want {
		t.Errorf("got %q, want %q", stdout.String(), want)
	}
}

// TestCompletion lets shells that are installed check their script, and asks for some completions.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		var stdout, stderr bytes.Buffer
		code := newApp(strings.NewReader(""), &stdout, &stderr, nil).run([]string{"completion", shell})
		if code != 0 || !strings.Contains(stdout.String(), "quorumctl") {
			t.Errorf("%s: exit code %d, %d bytes\n%s", shell, code, stdout.Len(), stderr.String())
		}
		if shell == "powershell" {
			continue // has no flag to check a script without running it
		}
		if path, err := exec.LookPath(shell); err == nil {
			check := exec.Command(path, "-n")
			check.Stdin = &stdout
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s -n: %v\n%s", shell, err, out)
			}
		}
	}
	for args, want := range map[string]string{
		"get --order ":         "ASCEND DESCEND",
		"get -w ":              "fields json protobuf simple table",
		"member list --consis": "--consistency",
		"endpoint h":           "hashkv health",
		"completion ":          "bash fish powershell zsh",
		"lease ":               "grant keep-alive list revoke timetolive",
		"check perf --load ":   "large medium small xLarge",
		"watch --progress":     "--progress-notify",
		"make-mirror --dest-p": "--dest-password --dest-prefix",
		"drill ":               "check failover list rolling-restart run split-brain",
		"drill run ":           "failover rolling-restart split-brain",
		"drill run failover ":  "",
		"drill failover --lo":  "--local",
		"drill run --local ":   "3 5",
	} {
		var stdout, stderr bytes.Buffer
		a := newApp(strings.NewReader(""), &stdout, &stderr, nil)
		a.drills = fakeDrills{}.engine(t, nil)
		a.run(append([]string{"__complete"}, strings.Split(args, " ")...))
		var got []string
		for line := range strings.Lines(stdout.String()) {
			if word, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); !strings.HasPrefix(word, ":") {
				got = append(got, word)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("completing %q: got %q, want %s", args, got, want)
		}
	}
}
