package recovery_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/internal/sim/sample"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/check"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/mvcc"
	"github.com/quorumkv/quorumkv/storage/recovery"
	"github.com/quorumkv/quorumkv/storage/wal"
)

var three = sample.Config{Members: 3, Flushed: 40, Tail: 20, Commit: 46}

func makeSample(t *testing.T, cfg sample.Config) *memfs.FS {
	t.Helper()
	f := memfs.New(1, t.TempDir())
	if err := sample.Make(f, cfg); err != nil {
		t.Fatal(err)
	}
	return f
}

// open plans, with every change to the source forbidden.
func open(t *testing.T, f *memfs.FS) *recovery.Source {
	t.Helper()
	f.SetHook(func(op memfs.Op) error {
		switch op.Kind {
		case memfs.OpOpen, memfs.OpList, memfs.OpRead, memfs.OpSize, memfs.OpClose:
			return nil
		}
		return fmt.Errorf("the source must not see %s", op)
	})
	s, err := recovery.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// flip damages the payload of a frame in the log.
func flip(t *testing.T, f *memfs.FS, text string) {
	t.Helper()
	injure(t, f, text, func(p []byte) []byte { return []byte{p[0] ^ 1} })
}

// tear cuts the log off in the middle of a frame.
func tear(t *testing.T, f *memfs.FS, text string) {
	t.Helper()
	injure(t, f, text, func(p []byte) []byte { return make([]byte, len(p)) })
}

// injure writes something else over the text and what follows it in its segment.
func injure(t *testing.T, f *memfs.FS, text string, change func([]byte) []byte) {
	t.Helper()
	names, err := f.List(datadir.WAL)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		file, err := f.Open(path.Join(datadir.WAL, name))
		if err != nil {
			t.Fatal(err)
		}
		size, _ := file.Size()
		b := make([]byte, size)
		if _, err := file.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		at := strings.Index(string(b), text)
		if at >= 0 {
			_, err = file.WriteAt(change(b[at:]), int64(at))
		}
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		if at >= 0 {
			return
		}
	}
	t.Fatalf("%q is not in the log", text)
}

func TestPlan(t *testing.T) {
	p := open(t, makeSample(t, three)).Plan()
	if p.Index != 61 || p.Term != 3 || p.Applied != 41 || p.Revision != 60 || p.Keys != 59 || p.Leases != 1 {
		t.Errorf("kept: %+v", p)
	}
	if p.Uncertain == nil || *p.Uncertain != (recovery.Range{First: 47, Last: 61}) {
		t.Errorf("uncommitted: %+v, want 47 to 61", p.Uncertain)
	}
	if p.Damaged != nil || len(p.Dropped) != 2 || p.Member.Name != "n1" || p.Dropped[1].PeerURLs[0] != "http://10.0.0.3:2380" {
		t.Errorf("lost: %+v", p)
	}
	if again := open(t, makeSample(t, three)).Plan(); again.Token != p.Token || len(p.Token) != 10 {
		t.Errorf("tokens %q and %q of the same data", p.Token, again.Token)
	}
}

// TestPlanOfDamage tells what damage costs: everything from it on, unless the state has it.
func TestPlanOfDamage(t *testing.T) {
	sound := open(t, makeSample(t, three)).Plan()
	for _, c := range []struct {
		name    string
		injure  func(f *memfs.FS)
		damaged recovery.Range
		index   uint64
	}{
		{"behind the state", func(f *memfs.FS) { flip(t, f, sample.Value(48)) }, recovery.Range{First: 50, Last: 50}, 49},
		{"no log", func(f *memfs.FS) {
			names, _ := f.List(datadir.WAL)
			for _, n := range names {
				if err := f.Remove(path.Join(datadir.WAL, n)); err != nil {
					t.Fatal(err)
				}
			}
		}, recovery.Range{First: 42}, 41},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := makeSample(t, three)
			c.injure(f)
			p := open(t, f).Plan()
			if p.Damaged == nil || *p.Damaged != c.damaged || p.Index != c.index || p.Reason == "" {
				t.Errorf("damaged %+v, index %d, %q; want %+v, %d", p.Damaged, p.Index, p.Reason, c.damaged, c.index)
			}
			if p.Token == sound.Token {
				t.Error("the token is that of the data without the damage")
			}
		})
	}
}

// TestDamageBelowTheState costs nothing: the state has what the log lost, and the log goes on behind it.
func TestDamageBelowTheState(t *testing.T) {
	f := makeSample(t, three)
	flip(t, f, sample.Value(8))
	p := open(t, f).Plan()
	if p.Damaged != nil || p.Index != 61 || p.Keys != 59 {
		t.Errorf("damaged %+v, index %d, %d keys", p.Damaged, p.Index, p.Keys)
	}
}

// TestCutOff names a write at the end of the log that cannot be read: after a crash it was never acknowledged, but nothing
// here says that there was a crash.
func TestCutOff(t *testing.T) {
	sound := open(t, makeSample(t, three)).Plan()
	f := makeSample(t, three)
	tear(t, f, sample.Value(59))
	p := open(t, f).Plan()
	if p.Index != 60 || p.Damaged != nil || !strings.Contains(p.CutOff, "entries 61 to 61") {
		t.Errorf("index %d, damaged %+v, cut off %q", p.Index, p.Damaged, p.CutOff)
	}
	if sound.CutOff != "" || p.Token == sound.Token {
		t.Errorf("sound: cut off %q, token %s, the other one's %s", sound.CutOff, sound.Token, p.Token)
	}
}

// TestNotAllowed plans no loss of what is only hidden from this user.
func TestNotAllowed(t *testing.T) {
	segments, err := makeSample(t, three).List(datadir.WAL)
	if err != nil {
		t.Fatal(err)
	}
	segment := path.Join(datadir.WAL, segments[0])
	for _, hidden := range []string{datadir.Identity, datadir.HardState, datadir.WAL, segment, "state/CURRENT"} {
		f := makeSample(t, three)
		f.SetHook(func(op memfs.Op) error {
			if (op.Kind == memfs.OpOpen || op.Kind == memfs.OpList) && op.Name == hidden {
				return fs.ErrPermission
			}
			return nil
		})
		s, err := recovery.Open(f)
		if err == nil {
			t.Errorf("%s: a plan, and what is lost is said to be %+v", hidden, s.Plan().Damaged)
			s.Close()
		} else if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", hidden, err)
		}
	}
}

func TestUnusable(t *testing.T) {
	f := makeSample(t, three)
	if err := f.Remove("state/CURRENT"); err != nil {
		t.Fatal(err)
	}
	if _, err := recovery.Open(f); !errors.Is(err, recovery.ErrStateUnusable) {
		t.Errorf("without a state: %v", err)
	}
	f = makeSample(t, three)
	if err := f.Remove("identity"); err != nil {
		t.Fatal(err)
	}
	if _, err := recovery.Open(f); err == nil {
		t.Error("no error without an identity")
	}
}

// TestRun recovers, and reads everything back from files that a check finds sound.
func TestRun(t *testing.T) {
	s := open(t, makeSample(t, three))
	to := memfs.New(2, t.TempDir())
	copied := 0
	o := recovery.Options{
		Backend: backend.Options{MapBytes: 1 << 20}, Rand: rand.New(rand.NewPCG(1, 1)), Copied: func(n int) { copied += n },
	}
	if _, err := s.Run(to, "0123456789", o); !errors.Is(err, recovery.ErrToken) {
		t.Fatalf("with a wrong token: %v", err)
	}
	if names, _ := to.List(""); len(names) > 0 {
		t.Fatalf("with a wrong token it made %v", names)
	}
	founded, err := s.Run(to, s.Plan().Token, o)
	if err != nil {
		t.Fatal(err)
	}
	if int64(copied) != s.Bytes() {
		t.Errorf("%d of %d bytes copied", copied, s.Bytes())
	}
	report, err := check.Run(to, check.Options{Dir: "DIR"})
	if err != nil || report.Damaged() {
		t.Fatalf("the new directory: %v, %+v", err, report.Findings)
	}
	if st := report.State; st.Index != 61 || st.Revision != 60 || st.Keys != 59 || st.Leases != 1 || len(st.Members) != 1 ||
		st.Members[0].ID != founded.MemberID || len(report.Snapshots) != 0 {
		t.Errorf("new state: %+v", report)
	}
	if l := report.Log; l.First != 62 || l.Last != 61 || l.LastTerm != 3 {
		t.Errorf("new log: %+v", l)
	}
	id, err := wal.LoadIdentity(to)
	if err != nil {
		t.Fatal(err)
	}
	if id.ClusterID == sample.ClusterID || id.MemberID == sample.MemberID || id.Incarnation == sample.Incarnation {
		t.Errorf("the new identity has something of the old: %+v", id)
	}
	readBack(t, to, id)
}

// readBack opens the new state and goes on with the first entry of the new cluster.
func readBack(t *testing.T, to *memfs.FS, id wal.Identity) {
	t.Helper()
	db, err := backend.Open(to, datadir.State, backend.Options{MapBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	m, err := apply.Open(db, id.ClusterID, mvcc.Recent{})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < three.Flushed+three.Tail; i++ {
		r, err := m.View().KV.Range([]byte(sample.Key(i)), nil, mvcc.RangeOptions{})
		if err != nil || len(r.KVs) != 1 || string(r.KVs[0].Value) != sample.Value(i) {
			t.Fatalf("key %d: %v, %v", i, r, err)
		}
	}
	if conf := m.ConfState(); len(conf.Voters) != 1 || conf.Voters[0] != id.MemberID {
		t.Errorf("voters %x, want the new member alone", conf.Voters)
	}
	index, term := uint64(62), uint64(4)
	if _, err := m.Apply([]*raftpb.Entry{{Index: &index, Term: &term}}, apply.RequestID{}); err != nil {
		t.Errorf("the next entry: %v", err)
	}
}

// TestInterrupted dies at every file operation of a run: what it leaves is no member's directory, or a whole one.
func TestInterrupted(t *testing.T) {
	s := open(t, makeSample(t, three))
	complete := 0
	for at := 1; ; at++ {
		to := memfs.New(2, t.TempDir())
		left := at
		to.SetHook(func(op memfs.Op) error {
			if left--; left == 0 {
				panic(memfs.Crash{Op: op})
			}
			return nil
		})
		var founded recovery.Founded
		crashed, err := memfs.Catch(func() (err error) {
			founded, err = s.Run(to, s.Plan().Token, recovery.Options{
				Backend: backend.Options{MapBytes: 1 << 20, NoSync: true}, Rand: rand.New(rand.NewPCG(1, 1)),
			})
			return err
		})
		if !crashed {
			if err != nil || founded.ClusterID == "" {
				t.Fatal(err)
			}
			break
		}
		after := to.ProcessCrash()
		if _, err := wal.LoadIdentity(after); err == nil {
			complete++
			if report, err := check.Run(after, check.Options{Dir: "DIR"}); err != nil || report.Damaged() {
				t.Fatalf("operation %d: with an identity, but %v, %+v", at, err, report.Findings)
			}
		}
	}
	if complete == 0 {
		t.Error("no crash came after the identity was written")
	}
}
