package drills

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/quorumkv/quorumkv/internal/drill/check"
	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/test/cluster"
)

// tamperings are lies about what happened, each with the promise that it makes look broken.
var tamperings = []struct {
	name, promise string
	// lie changes the history, and reports whether it found something to change.
	lie func(h *history.History) bool
}{
	{"an acknowledged write is gone", check.NoLostWrite, func(h *history.History) bool {
		i := acknowledged(h)
		if i < 0 {
			return false
		}
		h.Truth = slices.Delete(h.Truth, i, i+1)
		return true
	}},
	{"a write has another value", check.NoLostWrite, func(h *history.History) bool {
		i := acknowledged(h)
		if i < 0 {
			return false
		}
		h.Truth[i].Value = "forged"
		return true
	}},
	{"two writes have changed places", check.Linearizable, func(h *history.History) bool {
		for i := 1; i < len(h.Truth); i++ {
			if a, b := &h.Truth[i-1], &h.Truth[i]; a.Version > 1 && b.Version > 1 && a.Key != b.Key {
				a.Revision, b.Revision = b.Revision, a.Revision
				*a, *b = *b, *a
				return true
			}
		}
		return false
	}},
	{"a read saw what was overwritten", check.NoStaleRead, func(h *history.History) bool {
		for i := len(h.Ops) - 1; i >= 0; i-- {
			op := &h.Ops[i]
			if op.Kind != history.Get || op.Outcome != history.OK || op.ModRevision == 0 {
				continue
			}
			for _, e := range h.Truth {
				if e.Key == op.Key && e.Revision < op.ModRevision && !e.Deleted {
					op.Found, op.ModRevision = e.Value, e.Revision
					return true
				}
			}
		}
		return false
	}},
	{"a watcher was not sent a change", check.Watches, func(h *history.History) bool {
		for i := range h.Watches {
			batches := h.Watches[i].Batches
			for j := range batches {
				if len(batches[j].Events) > 0 && j > 0 && j < len(batches)-1 {
					h.Watches[i].Batches = slices.Delete(batches, j, j+1)
					return true
				}
			}
		}
		return false
	}},
	{"a member has a key that nobody wrote", check.NoInventedWrite, func(h *history.History) bool {
		for _, e := range h.Truth {
			if !e.Deleted {
				e.Key += "-ghost"
				h.Dumps[h.Members[0]] = append(h.Dumps[h.Members[0]], e)
				return true
			}
		}
		return false
	}},
	{"a refused write was done", check.NoInventedWrite, func(h *history.History) bool {
		for i := range h.Ops {
			if op := &h.Ops[i]; op.Kind == history.Put && op.Outcome == history.OK {
				op.Outcome, op.Revision = history.Refused, 0
				return true
			}
		}
		return false
	}},
	{"a serializable read went back", check.Serializable, func(h *history.History) bool {
		for i := len(h.Ops) - 1; i >= 0; i-- {
			if op := &h.Ops[i]; op.Kind == history.Stale && op.Outcome == history.OK {
				op.Revision, op.Found, op.ModRevision = h.First, "", 0
				return true
			}
		}
		return false
	}},
	{"a member has another hash", check.ReplicasAgree, func(h *history.History) bool {
		if len(h.Hashes) == 0 {
			return false
		}
		h.Hashes[0].Hash++
		return true
	}},
	{"two members lead in one term", check.OneLeader, func(h *history.History) bool {
		for _, p := range h.Polls {
			if p.Error == "" && p.Leader == p.ID {
				for i := range h.Polls {
					if o := &h.Polls[i]; o.Member != p.Member && o.Error == "" && o.Term == p.Term {
						o.Leader = o.ID
						return true
					}
				}
			}
		}
		return false
	}},
}

// acknowledged is the place of the first change that a client was told of, -1 if there is none.
func acknowledged(h *history.History) int {
	i := slices.IndexFunc(h.Ops, func(op history.Op) bool { return op.Kind == history.Put && op.Outcome == history.OK })
	if i < 0 {
		return -1
	}
	return slices.IndexFunc(h.Truth, func(e history.Event) bool { return e.Revision == h.Ops[i].Revision })
}

// TestTamperedHistory runs a short drill of a sound cluster, and has quorumctl judge what is left of it when it was tampered
// with.
func TestTamperedHistory(t *testing.T) {
	t.Parallel()
	dir := reportDir(t)
	r := cluster.Run(t, cluster.Quorumctl(t), []string{"drill", "failover", "--local", "3", "--server", cluster.QuorumKV(t).Path,
		"--rounds", "1", "--duration", "5s", "--report", dir}, limit)
	if r.Code != 0 && r.Code != 1 { // on a busy machine a mark may be missed
		t.Fatalf("exit code %d (late: %t):\n%s%s", r.Code, r.TimedOut, r.Stdout, r.Stderr)
	}
	path := filepath.Join(dir, "history.jsonl.gz")
	if code, violations := judge(t, dir); code != 0 || len(violations) > 0 {
		t.Fatalf("exit code %d for the drill's own history: %+v", code, violations)
	}
	for _, c := range tamperings {
		t.Run(c.name, func(t *testing.T) {
			h := read(t, path)
			if !c.lie(h) {
				t.Fatal("the history has nothing to be tampered with")
			}
			forged := filepath.Join(t.TempDir(), "history.jsonl.gz")
			write(t, forged, h)
			code, violations := judge(t, forged)
			if code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			nameless := c.promise == check.OneLeader || c.promise == check.ReplicasAgree // of hashes: no request is to blame
			if !slices.ContainsFunc(violations, func(v history.Violation) bool {
				return v.Promise == c.promise && (nameless || len(v.Ops) > 0)
			}) {
				t.Errorf("%q is not among the violations, with operations: %+v", c.promise, violations)
			}
		})
	}
}

// judge has quorumctl look at a history.
func judge(t *testing.T, path string) (code int, violations []history.Violation) {
	t.Helper()
	r := cluster.Run(t, cluster.Quorumctl(t), []string{"drill", "check", path, "--json"}, limit)
	var found struct{ Violations []history.Violation }
	if err := json.Unmarshal([]byte(r.Stdout), &found); err != nil {
		t.Fatalf("exit code %d, %v:\n%s%s", r.Code, err, r.Stdout, r.Stderr)
	}
	return r.Code, found.Violations
}

func read(t *testing.T, path string) *history.History {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	h, err := history.Read(z)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func write(t *testing.T, path string, h *history.History) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	if err := errors.Join(history.Write(z, h), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
