package drills

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// soon is within how long a drill that cannot be run says so. The machine may be busy.
const soon = 15 * time.Second

// refused runs a drill that cannot be run: soon over, with exit code 2, nothing on standard output, and one line that says
// why after those of the progress.
func refused(t *testing.T, endpoints []string, says []string, args ...string) {
	t.Helper()
	args = append([]string{"drill"}, args...)
	if endpoints != nil {
		args = append(args, "--endpoints", strings.Join(endpoints, ","), "--report", reportDir(t))
	}
	r := cluster.Run(t, cluster.Quorumctl(t), args, soon)
	if r.Code != 2 || r.TimedOut || r.Stdout != "" {
		t.Errorf("%v: exit code %d, not over after %v: %t, output %q", args, r.Code, soon, r.TimedOut, r.Stdout)
	}
	var reasons []string
	for line := range strings.Lines(r.Stderr) {
		if !strings.HasPrefix(line, "[") { // progress has its time in brackets
			reasons = append(reasons, strings.TrimSpace(line))
		}
	}
	if len(reasons) != 1 || !strings.HasPrefix(reasons[0], "Error: ") {
		t.Fatalf("%v: want one line that says why:\n%s", args, r.Stderr)
	}
	t.Log(reasons[0])
	for _, text := range says {
		if !strings.Contains(reasons[0], text) {
			t.Errorf("%v: no word of %q in: %s", args, text, reasons[0])
		}
	}
}

func TestServersWithoutDrills(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.Config{Program: cluster.QuorumKV(t)})
	c.Leader()
	c.AwaitHealthy()
	refused(t, c.Endpoints(), []string{"--enable-drills"}, "split-brain", "--drills-token", token)
}

func TestClusterThatCannotBeDrilled(t *testing.T) {
	t.Parallel()
	c := drillable(t)
	refused(t, c.Endpoints(), []string{"does not accept the drill token"}, "split-brain", "--drills-token", "guessed")
	refused(t, c.Endpoints(), []string{"--drills-token"}, "split-brain")

	down := c.Followers()[0]
	name := c.Nodes[down].Name
	c.Nodes[down].Kill()
	others := c.Endpoints()
	others = append(others[:down:down], others[down+1:]...)
	refused(t, others, []string{"not healthy", name}, "split-brain", "--drills-token", token)
	refused(t, c.Endpoints(), []string{c.Nodes[down].ClientAddr}, "split-brain", "--drills-token", token)

	leader := c.Leader()
	c.Nodes[leader].Kill()
	for i, n := range c.Nodes {
		if n.Running() { // alone, without a quorum
			refused(t, c.Endpoints(i), []string{n.ClientAddr}, "split-brain", "--drills-token", token)
		}
	}
}

func TestUnknownDrill(t *testing.T) {
	t.Parallel()
	refused(t, nil, []string{`"split-brian"`, "split-brain"}, "split-brian", "--local", "3")
	refused(t, nil, []string{`"earthquake"`, "failover"}, "run", "earthquake")
}

func TestUnreachableEndpoint(t *testing.T) {
	t.Parallel()
	address := fmt.Sprintf("127.0.0.1:%d", cluster.ReservePort(t))
	refused(t, []string{address}, []string{address}, "failover")
}

func TestUnfitServer(t *testing.T) {
	t.Parallel()
	missing := reportDir(t)
	refused(t, nil, []string{missing}, "failover", "--local", "3", "--server", missing, "--report", reportDir(t))
}
