package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	drillreport "github.com/quorumkv/quorumkv/internal/drill/report"
)

// TestScripts runs the command lines in testdata against the fake server and compares everything a script can see: the
// requests sent, standard output and error, and the exit code. `go test -run TestScripts -rewrite` writes what is
// printed now into the files. With REFERENCE_ETCDCTL=/path/etcdctl, that program must send and print the same, unless
// the script says why not.
//
// The commands of a script:
//
//	run [env=(NAME=value,...)] [differs=(why)] [interrupt]   executes the arguments on the first line; the lines that follow
//	                         are standard input: each after a |, or after a : when it has no line break. With interrupt,
//	                         SIGINT comes with the first output.
//	fail method=M [code=C]   that method answers with this error text from now on; with no text, normally again
//	alarm [kind=(K,...)]     the server has these alarms
//	drills [verdict=V]       drills end with this verdict from now on; with text, they cannot be run, and this is why
//	member name=N [members=N]     makes the data directory $DIR/N of a member that was killed, in a cluster of three
//	hold name=N              a server runs on it, until the end of the script
//	damage                   the lines name what is done to files: flip, zero or cut FILE OFFSET; remove FILE
//
// $DIR is a folder of the script; $SERVER is the fake server; nothing listens at $DEAD; $MUTE accepts connections and
// says nothing; $TLS and $MUTUAL are fake servers that speak TLS, the second with client certificates only; $CA, $CERT, $KEY
// and $OTHER are files for them.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		f := startFake(t)
		places := map[string]string{"$SERVER": f.address, "$DEAD": deadAddress(t), "$MUTE": muteAddress(t),
			"$DIR": t.TempDir()}
		secureServers(t, places)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "run":
				return runScript(t, f, places, d)
			case "fail":
				var method string
				var c codes.Code
				for _, arg := range d.CmdArgs {
					switch arg.Key {
					case "method":
						method = arg.Vals[0]
					case "code":
						if err := c.UnmarshalJSON([]byte(`"` + arg.Vals[0] + `"`)); err != nil {
							t.Fatal(err)
						}
					}
				}
				f.fail(method, c, d.Input)
				return ""
			case "alarm":
				var alarms []pb.AlarmType
				for _, arg := range d.CmdArgs {
					for _, kind := range arg.Vals {
						alarms = append(alarms, pb.AlarmType(pb.AlarmType_value[kind]))
					}
				}
				f.raise(alarms...)
				return ""
			case "member", "hold":
				makeMember(t, d, places["$DIR"])
				return ""
			case "damage":
				damageFiles(t, d, places["$DIR"])
				return ""
			case "drills":
				f.drills = fakeDrills{refusal: d.Input}
				for _, arg := range d.CmdArgs {
					f.drills.verdict = drillreport.Verdict(arg.Vals[0])
				}
				return ""
			}
			t.Fatalf("%s: no command %s", d.Pos, d.Cmd)
			return ""
		})
	})
}

func secureServers(t *testing.T, places map[string]string) {
	files, config := makeCertificates(t)
	places["$CA"], places["$CERT"], places["$KEY"], places["$OTHER"] = files.ca, files.cert, files.key, files.otherCA
	places["$TLS"] = startFake(t, grpc.Creds(credentials.NewTLS(config))).address
	config = config.Clone()
	config.ClientAuth = tls.RequireAndVerifyClientCert
	places["$MUTUAL"] = startFake(t, grpc.Creds(credentials.NewTLS(config))).address
}

func runScript(t *testing.T, f *fake, places map[string]string, d *datadriven.TestData) string {
	line, rest, _ := strings.Cut(d.Input, "\n")
	var stdin string
	for text := range strings.Lines(rest) {
		switch text = strings.TrimSuffix(text, "\n"); text[:1] {
		case "|":
			stdin += text[1:] + "\n"
		case ":":
			stdin += text[1:]
		default:
			t.Fatalf("%s: a line of standard input begins with | or with a colon: %s", d.Pos, text)
		}
	}
	args, err := splitWords(line)
	if err != nil {
		t.Fatal(err)
	}
	var environ, differs []string
	var interrupt bool
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "interrupt":
			interrupt = true
		case "env":
			environ = slices.Clone(arg.Vals)
		case "differs":
			differs = arg.Vals
		}
	}
	for name, address := range places {
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], name, address)
		}
		for i := range environ {
			environ[i] = strings.ReplaceAll(environ[i], name, address)
		}
	}
	if !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--endpoints") }) &&
		!slices.ContainsFunc(environ, func(e string) bool { return strings.Contains(e, "_ENDPOINTS=") }) {
		args = append([]string{"--endpoints", f.address}, args...)
	}
	f.take()
	var stdout, stderr bytes.Buffer
	a := newApp(strings.NewReader(stdin), &stdout, &stderr, environ)
	a.drills = f.drills.engine(t, f)
	if interrupt {
		interruptOnOutput(a)
	}
	a.sleep = func(d time.Duration) { fmt.Fprintln(&stderr, "(sleeps "+d.String()+")") }
	code := a.run(args)
	got := transcript{f.take(), stdout.String(), stderr.String(), code}.normal(places)
	if program := os.Getenv("REFERENCE_ETCDCTL"); program != "" {
		compareWith(t, program, f, places, d, args, stdin, environ, got, differs != nil, interrupt)
	}
	return got.String()
}

// interruptOnOutput sends SIGINT to whoever waits for signals when standard output is first written to.
func interruptOnOutput(a *app) {
	signals := make(chan (chan<- os.Signal), 1)
	a.notify = func(c chan<- os.Signal, _ ...os.Signal) { signals <- c }
	w := &firstWrite{w: a.output, then: func() {
		select {
		case c := <-signals:
			c <- os.Interrupt
		default: // a command that does not wait for signals
		}
	}}
	a.output = w
	a.stdout.Reset(w)
}

// firstWrite calls a function after the first write.
type firstWrite struct {
	w    io.Writer
	once sync.Once
	then func()
}

func (f *firstWrite) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	f.once.Do(f.then)
	return n, err
}

// compareWith runs etcdctl on the same command line.
func compareWith(t *testing.T, program string, f *fake, places map[string]string, d *datadriven.TestData,
	args []string, stdin string, environ []string, got transcript, differs, interrupt bool) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environ, strings.NewReader(stdin), &stdout, &stderr
	if interrupt {
		cmd.Stdout = &firstWrite{w: &stdout, then: func() { cmd.Process.Signal(os.Interrupt) }}
	}
	timeout := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	cmd.Run()
	timeout.Stop()
	want := transcript{f.take(), stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}.normal(places)
	for _, x := range []*transcript{&want, &got} {
		lines := strings.SplitAfter(x.stderr, "\n")
		lines = slices.DeleteFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "Error:") })
		x.stderr = strings.ReplaceAll(strings.Join(lines, ""), "etcdctl", "quorumctl")
	}
	if same := got.String() == want.String(); same == differs {
		t.Errorf("%s: difference expected: %v\nquorumctl:\n%s\netcdctl:\n%s", d.Pos, differs, got, want)
	}
}

// transcript is what one run did.
type transcript struct {
	requests []string
	stdout   string
	stderr   string
	code     int
}

var portInTable = regexp.MustCompile(`127\.0\.0\.1:[0-9]{5}`)

// normal replaces addresses and durations. A port becomes as long a word, because table columns are as wide.
func (x transcript) normal(places map[string]string) transcript {
	names := map[string]string{}
	for name, address := range places {
		names[address] = "127.0.0.1:" + strings.ToLower((name + "____")[1:6])
	}
	clean := func(s string) string {
		if took.MatchString(s) {
			s = layout.ReplaceAllString(took.ReplaceAllString(s, "TOOK"), "$1")
		}
		for name, place := range places {
			if strings.HasPrefix(place, "/") {
				s = strings.ReplaceAll(s, place, name)
			}
		}
		return portInTable.ReplaceAllStringFunc(s, func(a string) string {
			if n, ok := names[a]; ok {
				return n
			}
			return a
		})
	}
	x.stdout, x.stderr = clean(x.stdout), clean(x.stderr)
	slices.Sort(x.requests) // endpoint health asks all endpoints at once
	return x
}

func (x transcript) String() string {
	var b strings.Builder
	for _, r := range x.requests {
		fmt.Fprintln(&b, "->", r)
	}
	for _, part := range []struct{ mark, text string }{{"", x.stdout}, {"2> ", x.stderr}} {
		for line := range strings.Lines(part.text) {
			end := ""
			if !strings.HasSuffix(line, "\n") {
				line, end = line+"\n", "(no line break)\n"
			}
			if !isPlain(line) {
				line = fmt.Sprintf("%q\n", line)
			}
			b.WriteString(part.mark + line + end)
		}
	}
	fmt.Fprintf(&b, "exit code %d\n", x.code)
	return b.String()
}

// isPlain says whether a line can stand in a text file as it is.
func isPlain(line string) bool {
	return !strings.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\n' || r == 0xfffd })
}

func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// muteAddress accepts connections and reads from them until the test ends.
func muteAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go func() {
					defer conn.Close()
					io.Copy(io.Discard, conn)
				}()
			}
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}
