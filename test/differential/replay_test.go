package differential

import (
	"path/filepath"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"

	"github.com/quorumkv/quorumkv/test/cluster"
	"github.com/quorumkv/quorumkv/test/script"
)

// TestReplay runs every script of testdata against a new etcd and a new QuorumKV: they must print the same. Failed runs of
// TestDifferential leave their scripts there. Expectations in the files are optional, and are etcd's.
func TestReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("find scripts: %v (%d files)", err, len(files))
	}
	etcd := start(t, cluster.Config{Nodes: 1, Program: cluster.Etcd(t), Flags: etcdFlags})
	ours := start(t, cluster.Config{Nodes: 3, Program: cluster.QuorumKV(t)})
	for i, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if i > 0 {
				etcd.renew()
				ours.renew()
			}
			want, got := session(t, etcd), session(t, ours)
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				var printed [2]string
				for i, s := range []*script.Session{want, got} {
					var err error
					if printed[i], err = s.Run(d.Input); err != nil {
						d.Fatalf(t, "%v", err)
					}
				}
				if diff := cmp.Diff(printed[0], printed[1]); diff != "" {
					t.Errorf("%s: answered differently (-etcd +QuorumKV)\n%s", d.Pos, diff)
				}
				if d.Expected == "" && !d.Rewrite {
					return ""
				}
				return printed[0]
			})
		})
	}
}

func session(t *testing.T, p *processes) *script.Session {
	t.Helper()
	members, err := p.Client(0).MemberList(t.Context())
	if err != nil {
		t.Fatalf("list members: %v", err)
	}
	ids := p.MemberIDs()
	var nodes []script.Node
	for i := range p.Nodes {
		e := p.endpoints[i][0]
		nodes = append(nodes, script.Node{KV: e.kv, Maintenance: e.maintenance, Lease: e.lease, MemberID: ids[i]})
	}
	s, err := script.NewSession(nodes, members.Header.ClusterId)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
