package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestEtcdctl runs etcd's own command line tool. The expected output in testdata/ctl was written by etcd.
func TestEtcdctl(t *testing.T) {
	etcdctl := cluster.Etcdctl(t)
	for _, file := range ctlFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			tool := newTool(t, etcdctl)
			onlyEtcdRewrites(t, tool.cluster)
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				return tool.run(t, d)
			})
		})
	}
}

// TestQuorumctl runs our own tool through the same files. Output and exit codes must be etcdctl's; what goes to stderr may
// be said better.
func TestQuorumctl(t *testing.T) {
	quorumctl := quorumctlPath(t)
	for _, file := range ctlFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			tool := newTool(t, quorumctl)
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				got, want := withoutStderr(tool.run(t, d)), withoutStderr(d.Expected)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: quorumctl (+) differs from etcdctl (-):\n%s", d.Pos, diff)
				}
				return d.Expected
			})
		})
	}
}

// TestQuorumctlMatchesEtcdctl asks one cluster with both tools; every byte of what they print must be the same.
func TestQuorumctlMatchesEtcdctl(t *testing.T) {
	quorumctl, etcdctl := quorumctlPath(t), cluster.Etcdctl(t)
	c := cluster.Start(t, cluster.Config{})
	ctl := func(path string, args ...string) (stdout string, code int) {
		result := runTool(t, path, c.Endpoints(), "", args)
		return durations.ReplaceAllString(result.stdout, "$$TIME"), result.code
	}
	for i := range 20 {
		ctl(etcdctl, "put", fmt.Sprintf("k%02d", i), strings.Repeat("v", i))
	}
	ctl(etcdctl, "del", "k01", "k04")
	for _, command := range []string{
		"get k00", "get k --prefix", "get k05 k11", "get k --prefix --limit 3", "get k --prefix --keys-only",
		"get k --prefix --count-only", "get k --prefix --print-value-only", "get k --prefix --rev 12",
		"get k --prefix --order DESCEND --sort-by VALUE", "get k --from-key --hex", "get k01", "get k00 --rev 999",
		"member list", "endpoint health", "endpoint status --cluster", "endpoint hashkv --cluster",
		"endpoint hashkv --rev 10",
	} {
		for _, format := range []string{"simple", "json", "fields", "table"} {
			if format == "table" && strings.HasPrefix(command, "get") {
				continue // neither has such a table
			}
			// One endpoint at a time where the answer names who gave it.
			args := append([]string{"-w", format, "--endpoints", c.Endpoints(0)[0]}, strings.Fields(command)...)
			want, wantCode := ctl(etcdctl, args...)
			got, gotCode := ctl(quorumctl, args...)
			if format == "table" { // columns are as wide as the durations were
				want, got = collapse(want), collapse(got)
			}
			if diff := cmp.Diff(want, got); diff != "" || gotCode != wantCode {
				t.Errorf("%s: exit code %d (etcdctl: %d); quorumctl (+) differs from etcdctl (-):\n%s",
					strings.Join(args, " "), gotCode, wantCode, diff)
			}
		}
	}
}

func ctlFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/ctl/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("find scripts: %v (%d files)", err, len(files))
	}
	return files
}

// tool is a command line client with a cluster of its own: the files count revisions from 1.
type tool struct {
	path       string
	cluster    *cluster.Cluster
	masked     []string              // text, what hides it, text, ...
	ids        []uint64              // of the nodes: $ID1, $ID2, ...
	leases     []string              // ids of the leases granted: $LEASE1, $LEASE2, ...
	background map[string]*toolStart // by name, see ctl_background_test.go
}

func newTool(t *testing.T, path string) *tool {
	t.Helper()
	c := cluster.Start(t, cluster.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	members, err := c.Client(0).MemberList(ctx)
	if err != nil {
		t.Fatalf("list members: %v", err)
	}
	// Who is who differs between runs, and so does the order of members: it is that of their ids.
	var pairs []string
	for _, n := range c.Nodes {
		pairs = append(pairs, n.ClientURL(), "$CLIENT", "http://"+n.PeerAddr, "$PEER", n.ClientAddr, "$CLIENT")
	}
	ids := c.MemberIDs()
	for _, id := range append(slices.Clone(ids), members.Header.ClusterId) {
		name := "$MEMBER"
		if id == members.Header.ClusterId {
			name = "$CLUSTER"
		}
		pairs = append(pairs, fmt.Sprintf("%x", id), name, strconv.FormatUint(id, 10), name)
	}
	return &tool{path: path, cluster: c, masked: pairs, ids: ids, background: map[string]*toolStart{}}
}

// run executes a block: one command per line, its stdin in the lines that begin with "| ". NAME=value before a command
// goes into its environment. $ALL is all endpoints, $ONE is one, $NODE1 that of the first node and $ID1 its member id, $LEASE1
// the first lease that the file granted. Commands that run until they are stopped have verbs of their own, see
// ctl_background_test.go.
func (c *tool) run(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var out strings.Builder
	lines := strings.Split(d.Input, "\n")
	for len(lines) > 0 {
		line := lines[0]
		lines = lines[1:]
		var stdin strings.Builder
		for len(lines) > 0 && strings.HasPrefix(lines[0], "|") {
			stdin.WriteString(strings.TrimPrefix(strings.TrimPrefix(lines[0], "|"), " ") + "\n")
			lines = lines[1:]
		}
		if strings.HasPrefix(line, "put") && stdin.Len() > 0 { // the value is stdin to its last byte
			text := strings.TrimSuffix(stdin.String(), "\n")
			stdin.Reset()
			stdin.WriteString(text)
		}
		fmt.Fprintf(&out, "$ %s\n", line)
		text := c.placeholders().Replace(line)
		if handled, err := c.inBackground(t, &out, text); err != nil {
			d.Fatalf(t, "%q: %v\n%s", line, err, out.String())
		} else if handled {
			continue
		}
		args, err := arguments(text)
		if err != nil {
			d.Fatalf(t, "%q: %v", line, err)
		}
		result := runTool(t, c.path, c.cluster.Endpoints(0), stdin.String(), args)
		if strings.Contains(line, "lease grant") {
			c.remember(line, result.stdout)
		}
		if strings.Contains(line, "member list") {
			// etcd leaves the revision out of this header; we fill it (see docs/compatibility.md).
			result.stdout = headerRevision.ReplaceAllString(result.stdout, "")
		}
		stdout := c.normalise(result.stdout, "")
		if strings.Contains(line, "lease list") { // a follower knows no order
			stdout = leaseName.ReplaceAllString(stdout, "$$LEASE")
		}
		out.WriteString(stdout)
		out.WriteString(c.normalise(result.stderr, "stderr: "))
		if result.code != 0 {
			fmt.Fprintf(&out, "exit code %d\n", result.code)
		}
	}
	return out.String()
}

func (c *tool) placeholders() *strings.Replacer {
	pairs := []string{"$ALL", strings.Join(c.cluster.Endpoints(), ","), "$ONE", c.cluster.Endpoints(0)[0]}
	for i, id := range c.ids {
		pairs = append(pairs, fmt.Sprintf("$ID%d", i+1), fmt.Sprintf("%x", id),
			fmt.Sprintf("$NODE%d", i+1), c.cluster.Endpoints(i)[0])
	}
	for i, lease := range c.leases {
		pairs = append(pairs, fmt.Sprintf("$LEASE%d", i+1), lease)
	}
	return strings.NewReplacer(pairs...)
}

// remember gives the lease that a grant printed a name of its own.
func (c *tool) remember(line, stdout string) {
	match := granted.FindStringSubmatch(stdout)
	if match == nil {
		return
	}
	base := 10
	if match[1] != "" || strings.Contains(line, "--hex") {
		base = 16
	}
	id, err := strconv.ParseInt(match[1]+match[2], base, 64)
	if err != nil {
		return
	}
	c.leases = append(c.leases, fmt.Sprintf("%016x", id))
	name := fmt.Sprintf("$LEASE%d", len(c.leases))
	c.masked = append(c.masked, fmt.Sprintf("%016x", id), name, fmt.Sprintf("%x", id), name, strconv.FormatInt(id, 10), name)
}

type toolResult struct {
	stdout, stderr string
	code           int
}

func runTool(t *testing.T, path string, endpoints []string, stdin string, args []string) toolResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := toolCommand(ctx, t, path, endpoints, args)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %s %s: %v", path, strings.Join(args, " "), err)
	}
	return toolResult{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func toolCommand(ctx context.Context, t *testing.T, path string, endpoints, args []string) *exec.Cmd {
	t.Helper()
	env := []string{"HOME=" + t.TempDir(), "PATH=/usr/bin:/bin"}
	for len(args) > 0 && assignment.MatchString(args[0]) {
		env, args = append(env, args[0]), args[1:]
	}
	if !slices.Contains(args, "--endpoints") {
		args = append([]string{"--endpoints", strings.Join(endpoints, ",")}, args...)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = env
	return cmd
}

// arguments splits a command line at spaces outside double quotes.
func arguments(line string) (args []string, err error) {
	for rest := strings.TrimLeft(line, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		if rest[0] == '"' {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, err
			}
			arg, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			args, rest = append(args, arg), rest[len(quoted):]
			continue
		}
		arg, after, _ := strings.Cut(rest, " ")
		args, rest = append(args, arg), after
	}
	return args, nil
}

var (
	durations = regexp.MustCompile(`\b[0-9]+(\.[0-9]+)?(µs|ms|s)\b`)
	// masks hide what differs between runs or may differ between servers: time, size on disk, raft's position.
	masks = []struct {
		pattern *regexp.Regexp
		by      string
	}{
		{durations, "$$TIME"},
		{regexp.MustCompile(`\bn[123]\b`), "$$NAME"},
		{regexp.MustCompile(`\b3\.7\.[0-9]+\b`), "$$VERSION"},
		{regexp.MustCompile(`\b[0-9.]+ [kMG]?B\b`), "$$SIZE"},
		{regexp.MustCompile(`\b[0-9]+%`), "$$PERCENT"},
		{regexp.MustCompile(`("raft_?[tT]erm":)[0-9]+`), "${1}$$TERM"},
		{regexp.MustCompile(`("RaftTerm" : )[0-9]+`), "${1}$$TERM"},
		{regexp.MustCompile(`("raft(Applied)?Index":)[0-9]+`), "${1}$$INDEX"},
		{regexp.MustCompile(`("Raft(Applied)?Index" : )[0-9]+`), "${1}$$INDEX"},
		// lease timetolive, and the keys of locks and elections, which end in the id of a lease.
		{regexp.MustCompile(`("ttl":)[0-9]+`), "${1}$$TTL"},
		{regexp.MustCompile(`("TTL" : )[0-9]+`), "${1}$$TTL"},
		{regexp.MustCompile(`("Lease" : )[1-9][0-9]+`), "${1}$$LEASE"},
		{regexp.MustCompile(`\b([a-z]+/)[0-9a-f]{12,16}\b`), "${1}$$LEASE"},
		{regexp.MustCompile(`("dbSize(InUse)?":)[0-9]+`), "${1}$$SIZE"},
		{regexp.MustCompile(`("DBSize(InUse)?" : )[0-9]+`), "${1}$$SIZE"},
		// endpoint status: is leader, is learner, term, index, applied index.
		{regexp.MustCompile(`(true|false), (true|false), [0-9]+, [0-9]+, [0-9]+,`), "$$LEADER, ${2}, $$TERM, $$INDEX, $$INDEX,"},
		{regexp.MustCompile(`│ +(true|false) │ +(true|false) │ +[0-9]+ │ +[0-9]+ │ +[0-9]+ │`),
			"│ $$LEADER │ ${2} │ $$TERM │ $$INDEX │ $$INDEX │"},
	}
	granted        = regexp.MustCompile(`lease ([0-9a-f]{16}) granted|"ID" ?: ?([0-9a-f]+)`)
	leaseName      = regexp.MustCompile(`\$LEASE[0-9]+`)
	assignment     = regexp.MustCompile(`^[A-Z_]+=`)
	headerRevision = regexp.MustCompile(`(?m)"revision":[0-9]+,|^"Revision" : [0-9]+\n`)

	logLine = regexp.MustCompile(`(?m)^\{"level":.*\n`) // what etcd's client library logs
	runs    = regexp.MustCompile(` {2,}|─{2,}`)
)

// normalise hides what differs between runs and puts prefix before each line.
func (c *tool) normalise(text, prefix string) string {
	text = strings.NewReplacer(c.masked...).Replace(logLine.ReplaceAllString(text, ""))
	for _, m := range masks {
		text = m.pattern.ReplaceAllString(text, m.by)
	}
	var out strings.Builder
	for line := range strings.Lines(collapse(text)) {
		line = strings.TrimRight(line, " \n")
		if line == "" {
			line = "(empty line)" // which would end the expectation
		}
		out.WriteString(prefix + line + "\n")
	}
	return out.String()
}

// collapse makes tables independent of the width of their content.
func collapse(text string) string {
	return runs.ReplaceAllStringFunc(text, func(run string) string {
		if run[0] == ' ' {
			return " "
		}
		return "─"
	})
}

var stderrLine = regexp.MustCompile(`(?m)^stderr: .*\n`)

func withoutStderr(text string) string { return stderrLine.ReplaceAllString(text, "") }
