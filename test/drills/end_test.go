package drills

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/test/cluster"
)

// begin starts a drill on a running cluster and waits until its fault holds.
func begin(t *testing.T, c *cluster.Cluster, dir string) *cluster.Command {
	t.Helper()
	d := cluster.Background(t, cluster.Quorumctl(t), []string{"drill", "split-brain", "--drills-token", token, "--report", dir,
		"--endpoints", strings.Join(c.Endpoints(), ",")})
	d.AwaitLine("cut off from the majority", limit)
	await(t, "rules hold", 10*time.Second, func() bool { return active(t, c) > 0 }) // the line comes first
	return d
}

// active is how many rules hold, by the metrics of all members.
func active(t *testing.T, c *cluster.Cluster) (sum float64) {
	t.Helper()
	for _, n := range c.Nodes {
		v, ok := n.Metric("quorumkv_drill_faults_active")
		if !ok {
			t.Fatalf("%s has no metric of a drill's faults", n.Name)
		}
		sum += v
	}
	return sum
}

// TestKilledDrill makes sure that a drill's faults end when it cannot end them itself: at their deadline, and the cluster
// heals.
func TestKilledDrill(t *testing.T) {
	t.Parallel()
	c := drillable(t)
	d := begin(t, c, reportDir(t))
	d.Signal(unix.SIGKILL)
	d.AwaitExit(limit)
	var deadline time.Time
	for i := range c.Nodes {
		r := faults(t, c, i)
		if until := time.Unix(0, r.DeadlineUnixNs); r.DeadlineUnixNs != 0 && until.After(deadline) {
			deadline = until
		}
	}
	left := time.Until(deadline)
	if left <= 0 || left > 30*time.Second {
		t.Fatalf("the rules of a drill that was killed hold for another %v", left)
	}
	for i, n := range c.Nodes {
		await(t, n.Name+" has no rules after their deadline", time.Until(deadline)+5*time.Second, func() bool {
			return faults(t, c, i).DeadlineUnixNs == 0
		})
	}
	if n := active(t, c); n != 0 {
		t.Errorf("%v rules hold by the metrics", n)
	}
	c.Leader()
	c.AwaitHealthy()
	c.AwaitEqual()
}

// TestInterruptedDrill makes sure that Ctrl-C heals at once, long before the rules would end by themselves, and that the
// drill cleans up and reports what it has.
func TestInterruptedDrill(t *testing.T) {
	t.Parallel()
	c := drillable(t)
	dir := reportDir(t)
	d := begin(t, c, dir)
	d.Signal(unix.SIGINT)
	await(t, "no rules hold after Ctrl-C", 5*time.Second, func() bool { return active(t, c) == 0 })
	code, output := d.AwaitExit(limit)
	if code != 128+int(unix.SIGINT) {
		t.Errorf("exit code %d:\n%s", code, output)
	}
	text, err := os.ReadFile(filepath.Join(dir, report.DataName))
	if err != nil {
		t.Fatalf("%v; it printed:\n%s", err, output)
	}
	var r report.Report
	if err := json.Unmarshal(text, &r); err != nil || r.Verdict != report.Interrupted || len(r.Violations) > 0 {
		t.Errorf("%v, verdict %q: %s", err, r.Verdict, r.Summary)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	left, err := c.Client().Get(ctx, drill.Prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || left.Count != 0 {
		t.Errorf("%d keys of the drill are left (%v)", left.Count, err)
	}
	c.AwaitHealthy()
	c.AwaitEqual()
}
