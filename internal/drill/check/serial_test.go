package check

import (
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// TestRestartedMember: a serializable read may be older than what the member showed before its process ended, and never older
// than what this process has shown.
func TestRestartedMember(t *testing.T) {
	read := func(id int, begin time.Duration, revision int64) history.Op {
		return history.Op{ID: id, Member: "n1", Kind: history.Stale, Key: "k", Begin: begin, End: begin + 1, Outcome: history.OK, Revision: revision}
	}
	h := &history.History{
		Members: []string{"n1"}, First: 1,
		Ops:    []history.Op{read(1, 10, 7), read(2, 30, 5), read(3, 40, 6)},
		Faults: []history.Fault{{At: 20, Until: 25, Members: []string{"n1"}, Restarts: true}},
	}
	broken := func() (n int) {
		for _, v := range All(h).Violations {
			if v.Promise == Serializable {
				n++
			}
		}
		return n
	}
	if n := broken(); n != 0 {
		t.Errorf("%d violations by a read after a restart", n)
	}
	h.Ops[2].Revision = 4
	if n := broken(); n != 1 {
		t.Errorf("%d violations by a read that goes back behind one of the same process, want 1", n)
	}
	h.Ops[2].Revision, h.Faults[0].Members[0] = 6, "n2"
	if n := broken(); n != 2 {
		t.Errorf("%d violations when another member restarts, want 2", n)
	}
}
