package drills

import (
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestRunningCluster drills a cluster that was not started for it, as an operator does: first with mistakes, each of which
// ends in one line, then with the token. What an earlier drill has left is told, and left alone.
func TestRunningCluster(t *testing.T) {
	const token = "a-token-of-the-tests"
	c := cluster.Start(t, cluster.Config{Flags: []string{"--enable-drills", "--drills-token=" + token}})
	endpoints := strings.Join(c.Endpoints(), ",")
	old := drill.Prefix + "failover-1/k1"
	if _, err := c.Client().Put(t.Context(), old, "old"); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "report")
	refused := func(want string, args ...string) {
		t.Helper()
		got := quorumctl(t, append(args, "--report", dir)...)
		_, line, _ := strings.Cut("\n"+got.stderr, "\nError: ")
		if got.code != 2 || got.stdout != "" || strings.Count(line, "\n") != 1 || !strings.Contains(line, want) {
			t.Errorf("quorumctl %v: exit code %d, want 2 and %q\n%s%s", args, got.code, want, got.stderr, got.stdout)
		}
	}
	refused("it wants its drill token", "drill", "handover", "--endpoints", endpoints)
	refused("it does not accept the drill token", "drill", "handover", "--endpoints", endpoints, "--drills-token", "wrong")
	refused("only: add --local 3", "drill", "pause", "--endpoints", endpoints, "--drills-token", token)
	without := strings.Join(cluster.Start(t, cluster.Config{}).Endpoints(), ",")
	refused("without --enable-drills", "drill", "handover", "--endpoints", without, "--drills-token", token)

	t.Setenv("QUORUMCTL_DRILLS_TOKEN", token)
	got := quorumctl(t, "drill", "minority-down", "--rounds", "1", "--duration", "4s", "--endpoints", endpoints, "--report", dir)
	if got.code > 1 {
		t.Fatalf("exit code %d\n%s%s", got.code, got.stderr, got.stdout)
	}
	r := readReport(t, dir)
	if r.Verdict != report.Passed && r.Verdict != report.Missed || len(r.Rounds) != 1 { // a mark is missed on a busy machine
		t.Errorf("%s in %d rounds: %s", r.Verdict, len(r.Rounds), r.Summary)
	}
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "Other drills have left 1 key: ") {
		t.Errorf("the notes do not say that there is a key already: %q", notes)
	}
	if strings.Contains(got.stdout+got.stderr+r.Command, token) {
		t.Error("the token is shown")
	}
	all, err := c.Client().Get(t.Context(), drill.Prefix, clientv3.WithPrefix())
	if err != nil || len(all.Kvs) != 1 || string(all.Kvs[0].Key) != old {
		t.Errorf("the drill has left %d keys, %v", len(all.Kvs), err)
	}
}
