package check

import (
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// TestRestartedMember: a serializable read may be older than what the member showed before its process ended, and never older
// than what this process has shown. The old process answers until it is dead, which is later than when somebody set out to kill
// it.
func TestRestartedMember(t *testing.T) {
	read := func(id int, begin time.Duration, revision int64) history.Op {
		return history.Op{ID: id, Member: "n1", Kind: history.Stale, Key: "k", Begin: begin, End: begin + 1, Outcome: history.OK, Revision: revision}
	}
	across := read(6, 22, 5) // began before the start, and the new process answers
	across.End = 26
	h := &history.History{
		Members: []string{"n1"}, First: 1,
		Ops:    []history.Op{read(1, 10, 7), read(2, 21, 7), read(3, 24, 5), read(4, 30, 5), read(5, 40, 6), across},
		Faults: []history.Fault{{At: 20, Until: 25, Members: []string{"n1"}}},
		Starts: []history.Start{{At: 24, Member: "n1"}},
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
	h.Ops[4].Revision = 4
	if n := broken(); n != 1 {
		t.Errorf("%d violations by a read that goes back behind one of the same process, want 1", n)
	}
	h.Ops[4].Revision, h.Starts[0].Member = 6, "n2"
	if n := broken(); n != 4 {
		t.Errorf("%d violations when another member restarts, want 4", n)
	}
}
