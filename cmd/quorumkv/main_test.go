package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/quorumkv/quorumkv/internal/local/fakenode"
	"github.com/quorumkv/quorumkv/server"
	"github.com/spf13/pflag"
)

// asProcess makes the test binary stand in for another program when it is executed again: "command" is quorumkv itself,
// "node" a fake server. What a command executes in turn are fake nodes.
const asProcess = "TEST_AS_PROCESS"

func TestMain(m *testing.M) {
	switch os.Getenv(asProcess) {
	case "command":
		os.Setenv(asProcess, "node")
		main()
	case "node":
		os.Exit(fakenode.Main(os.Args[1:]))
	}
	// The surrounding shell must not configure what is tested.
	for _, entry := range os.Environ() {
		key, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(key, "QUORUMKV_") || strings.HasPrefix(key, "ETCD_") {
			os.Unsetenv(key)
		}
	}
	os.Exit(m.Run())
}

// loadArgs loads a configuration as the command line does.
func loadArgs(args, environ []string) (server.Config, []string, error) {
	root := newRoot()
	if err := root.ParseFlags(doubleDash(root.Flags(), args)); err != nil {
		return server.Config{}, nil, flagError(root, err)
	}
	return load(root.Flags(), environ)
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"-version"}, {"-v"}, {"--version=true"}, {"--name=x", "--version"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			var out, errs bytes.Buffer
			if status := run(args, &out, &errs); status != 0 {
				t.Fatalf("exit status %d: %s", status, errs.String())
			}
			lines := strings.Split(out.String(), "\n")
			if lines[0] != "quorumkv Version: "+version || lines[1] != "etcd Version: 3.7.3" {
				t.Fatalf("unexpected version text:\n%s", out.String())
			}
		})
	}
}

// Wrong use is one line that names the thing and the value, and exit status 2.
func TestWrongUse(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--nme=x", "unknown flag --nme; did you mean --name?"},
		{"--listen-client-url=x", "unknown flag --listen-client-url; did you mean --listen-client-urls?"},
		{"--completely-different=x", "unknown flag --completely-different"},
		{"--name", "flag needs an argument: --name"},
		{"clutser", `"clutser" is neither a flag nor a command; did you mean "cluster"?`},
		{"--heartbeat-interval=abc",
			`--heartbeat-interval: "abc": want milliseconds, such as 100, or a duration, such as 100ms or 1s`},
		{"--grpc-keepalive-timeout=20",
			`--grpc-keepalive-timeout: "20": want a duration with its unit, such as 500ms, 20s or 2h`},
		{"--max-txn-ops=-1", `--max-txn-ops: "-1": out of range`},
		{"--max-concurrent-streams=4294967296", `--max-concurrent-streams: "4294967296": out of range`},
		{"--quota-backend-bytes=2GB", `--quota-backend-bytes: "2GB": want a whole number`},
		{"--enable-pprof=maybe", `--enable-pprof: "maybe": want true or false`},
		{"--listen-peer-urls=127.0.0.1:2380",
			`--listen-peer-urls: "127.0.0.1:2380": "127.0.0.1:2380" is not a URL such as http://127.0.0.1:2379`},
		{"--initial-cluster=n1", `--initial-cluster: "n1": want NAME=URL,NAME=URL, but one part is "n1"`},
		{"--listen-client-urls=http://127.0.0.1:1", server.ErrAdvertiseClientURLs.Error()},
		{"--election-timeout=300", "election-timeout 300ms must be at least 5 times heartbeat-interval 100ms"},
		{"--config-file=/nonexistent", "read --config-file: open /nonexistent: no such file or directory"},
		{"cluster --nodes=4", "--nodes 4: must be 3 or 5, so that a majority outlives one or two failures"},
		{"cluster --nodes=five", `invalid argument "five" for "--nodes" flag: must be an integer`},
		{"cluster --port=0", "--port 0: must be between 1 and 45534, since node 3 uses the ports 20000 above it"},
		{"cluster --port=25535 --nodes=5",
			"--port 25535: must be between 1 and 25534, since node 5 uses the ports 40000 above it"},
		{"cluster --node=3", "unknown flag --node; did you mean --nodes?"},
		{"cluster here", `cluster takes flags only, not "here"`},
	} {
		t.Run(c.args, func(t *testing.T) {
			var out, errs bytes.Buffer
			if status := run(strings.Fields(c.args), &out, &errs); status != 2 {
				t.Errorf("exit status %d, want 2", status)
			}
			if got, want := errs.String(), "quorumkv: "+c.want+"\n"; got != want {
				t.Errorf("got  %swant %s", got, want)
			}
			if out.Len() > 0 {
				t.Errorf("unexpected output: %s", out.String())
			}
		})
	}
}

func TestHelpNamesEverySettingAndNoForeignOne(t *testing.T) {
	var out bytes.Buffer
	if status := run([]string{"--help"}, &out, &out); status != 0 {
		t.Fatalf("exit status %d", status)
	}
	for _, s := range settings {
		if !strings.Contains(out.String(), " --"+s.name+" ") {
			t.Errorf("--%s is missing", s.name)
		}
	}
	for _, f := range foreignSettings {
		if strings.Contains(out.String(), " --"+f.name+" ") {
			t.Errorf("--%s is shown", f.name)
		}
	}
	if !strings.Contains(out.String(), "quorumkv cluster") {
		t.Error("no example for the cluster command")
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		var out bytes.Buffer
		if status := run([]string{"completion", shell}, &out, &out); status != 0 || out.Len() == 0 {
			t.Errorf("%s: exit status %d, %d bytes", shell, status, out.Len())
		}
	}
	var out bytes.Buffer
	run([]string{"__complete", "--log-format", ""}, &out, &out)
	if !strings.HasPrefix(out.String(), "json\ntext\n") {
		t.Errorf("log-format completes to %q", out.String())
	}
}

func TestDoubleDash(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	addFlags(flags)
	for _, c := range []struct{ in, want string }{
		{"-name a -data-dir=b", "--name a --data-dir=b"},
		{"--name -name -enable-pprof -log-level debug", "--name -name --enable-pprof --log-level debug"},
		{"-quota-backend-bytes -1", "--quota-backend-bytes -1"},
		{"-h -unknown x", "-h -unknown x"},
		{"cluster -- -name", "cluster -- -name"},
		{"-name", "--name"},
	} {
		if got := strings.Join(doubleDash(flags, strings.Fields(c.in)), " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
}

func TestSuggest(t *testing.T) {
	candidates := []string{"name", "data-dir", "listen-peer-urls", "log-level"}
	for word, want := range map[string]string{
		"nam": "name", "nmae": "name", "data_dir": "data-dir", "datadir": "data-dir", "listen-peers-url": "listen-peer-urls",
		"loglevel": "log-level", "x": "", "something-else": "", "": "",
	} {
		if want != "" {
			want = fmt.Sprintf("; did you mean %q?", want)
		}
		if got := suggest(word, candidates, "%q"); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

// Whoever may ask a member for its command line, over HTTP, does not learn the drill token.
func TestSecretsAreHidden(t *testing.T) {
	for _, form := range []string{"--drills-token=open sesame", "-drills-token=open sesame", "--drills-token|open sesame",
		"-drills-token|open sesame|--enable-drills", "--drills-token"} {
		args := append([]string{"quorumkv", "--name", "open", "drills-token"}, strings.Split(form, "|")...)
		want := len(args)
		hideSecrets(args)
		text := strings.Join(args, " ")
		if strings.Contains(text, "sesame") || len(args) != want || !strings.HasPrefix(text, "quorumkv --name open drills-token") {
			t.Errorf("%s: %q", form, args)
		}
	}
}
