package check_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/internal/sim/sample"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/check"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/snap"
	"github.com/quorumkv/quorumkv/storage/wal"
)

const stateFile = "state/0000000000000001/db"

// rig is a data directory to be damaged.
type rig struct {
	t  *testing.T
	fs *memfs.FS
}

func newRig(t *testing.T, cfg sample.Config) *rig {
	t.Helper()
	r := &rig{t: t, fs: memfs.New(1, t.TempDir())}
	if err := sample.Make(r.fs, cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

// run checks the directory, with every operation that would change something forbidden.
func (r *rig) run() check.Report {
	r.t.Helper()
	r.fs.SetHook(func(op memfs.Op) error {
		switch op.Kind {
		case memfs.OpOpen, memfs.OpList, memfs.OpRead, memfs.OpSize, memfs.OpClose:
			return nil
		}
		return fmt.Errorf("a check must not %s", op)
	})
	defer r.fs.SetHook(nil)
	before, err := os.ReadFile(r.fs.MapPath(stateFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Fatal(err)
	}
	report, err := check.Run(r.fs, check.Options{Dir: "DIR", Pages: func(file string) (faults []string, err error) {
		err = backend.CheckPages(file, func(f error) { faults = append(faults, f.Error()) })
		return faults, err
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	after, err := os.ReadFile(r.fs.MapPath(stateFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) || string(after) != string(before) {
		r.t.Errorf("the check changed the state file (%v)", err)
	}
	return report
}

// edit changes bytes of a file.
func (r *rig) edit(name string, offset int64, change func([]byte), length int) {
	r.t.Helper()
	f, err := r.fs.Open(name)
	if err != nil {
		r.t.Fatal(err)
	}
	b := make([]byte, length)
	if _, err := f.ReadAt(b, offset); err != nil {
		r.t.Fatal(err)
	}
	change(b)
	if _, err := f.WriteAt(b, offset); err != nil {
		r.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) flip(name string, offset int64) {
	r.edit(name, offset, func(b []byte) { b[0] ^= 0x10 }, 1)
}

func (r *rig) zero(name string, offset int64) {
	r.edit(name, offset, func(b []byte) { clear(b) }, 512)
}

func (r *rig) remove(name string) {
	r.t.Helper()
	if err := r.fs.Remove(name); err != nil {
		r.t.Fatal(err)
	}
}

// flipBehind damages what follows each occurrence of a text: bbolt leaves old pages in the file.
func (r *rig) flipBehind(name, text string) {
	r.t.Helper()
	b, err := os.ReadFile(r.fs.MapPath(name))
	if err != nil {
		r.t.Fatal(err)
	}
	for at := 0; ; {
		i := strings.Index(string(b[at:]), text)
		if i < 0 {
			return
		}
		at += i + len(text)
		r.flip(name, int64(at)+8)
	}
}

// find returns the offset of a text in a file.
func (r *rig) find(name, text string) int64 {
	r.t.Helper()
	f, err := r.fs.Open(name)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		r.t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		r.t.Fatal(err)
	}
	at := strings.LastIndex(string(b), text)
	if at < 0 {
		r.t.Fatalf("%q is not in %s", text, name)
	}
	return int64(at)
}

// segmentWith returns the segment that holds a text, and where.
func (r *rig) segmentWith(text string) (name string, offset int64) {
	r.t.Helper()
	names, err := r.fs.List(datadir.WAL)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range names {
		name = path.Join(datadir.WAL, name)
		f, err := r.fs.Open(name)
		if err != nil {
			r.t.Fatal(err)
		}
		size, _ := f.Size()
		b := make([]byte, size)
		if _, err := f.ReadAt(b, 0); err != nil {
			r.t.Fatal(err)
		}
		f.Close()
		if at := strings.Index(string(b), text); at >= 0 {
			return name, int64(at)
		}
	}
	r.t.Fatalf("%q is in no segment", text)
	return "", 0
}

// identity replaces the identity, but for the incarnation.
func (r *rig) identity(cluster, member uint64) {
	r.t.Helper()
	r.remove("identity")
	err := wal.CreateIdentity(r.fs, wal.Identity{
		ClusterID: cluster, MemberID: member, Incarnation: sample.Incarnation,
		Bootstrap: apply.EncodeMembers(sample.Members(3)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func describe(f check.Finding) string {
	s := fmt.Sprintf("%s %s %s", f.Start, f.Part, f.File)
	if f.Offset != nil {
		s += " at"
	}
	if f.First != 0 || f.Last != 0 {
		s += fmt.Sprintf(" %d-%d", f.First, f.Last)
	}
	return s
}

// three is a member of a cluster of three: entries 2 to 41 in the state, 42 to 61 in the log alone.
var three = sample.Config{Members: 3, Flushed: 40, Tail: 20}

// TestDamage injures directories in one place each. want are the findings without what they say, and part of that.
func TestDamage(t *testing.T) {
	alone := three
	alone.Members = 1
	for _, c := range []struct {
		name   string
		cfg    sample.Config
		injure func(r *rig)
		want   []string
		says   string
	}{
		{"nothing", three, func(*rig) {}, nil, ""},

		{"identity flipped", three, func(r *rig) { r.flip("identity", 17) }, []string{"refuses identity identity at"}, "checksum"},
		{"identity missing", three, func(r *rig) { r.remove("identity") }, []string{"refuses identity identity"}, "missing"},

		{"hard state, first copy", three, func(r *rig) { r.flip("hardstate", 20) }, []string{"repairs hardstate hardstate at"},
			"copy 1 of 2"},
		{"hard state, second copy zeroed", three, func(r *rig) { r.zero("hardstate", 4096) },
			[]string{"repairs hardstate hardstate at"}, "copy 2 of 2"},
		{"hard state, both copies", three, func(r *rig) { r.flip("hardstate", 20); r.flip("hardstate", 4096+20) },
			[]string{"refuses hardstate hardstate at"}, "both copies"},
		{"hard state missing", three, func(r *rig) { r.remove("hardstate") }, []string{"refuses hardstate hardstate"}, "missing"},
		{"hard state older than the log", three, func(r *rig) {
			f, err := wal.CreateHardState(r.fs, wal.HardState{Term: 2})
			if err != nil {
				r.t.Fatal(err)
			}
			f.Close()
		}, []string{"refuses hardstate hardstate"}, "older than the log"},

		{"log, an applied entry", three, func(r *rig) { r.flip(r.segmentWith(sample.Value(5))) },
			[]string{"repairs wal SEGMENT at 7-7"}, "payload has checksum"},
		{"log, an entry not yet applied", three, func(r *rig) { r.flip(r.segmentWith(sample.Value(50))) },
			[]string{"repairs wal SEGMENT at 52-52"}, "payload has checksum"},
		{"log, nobody to fetch from", alone, func(r *rig) { r.flip(r.segmentWith(sample.Value(50))) },
			[]string{"refuses wal SEGMENT at 52-52"}, "payload has checksum"},
		{"log, an applied entry and another one, nobody to fetch from", alone, func(r *rig) {
			r.flip(r.segmentWith(sample.Value(5)))
			r.flip(r.segmentWith(sample.Value(50)))
		}, []string{"refuses wal SEGMENT at 7-7"}, "payload has checksum"},
		{"log, a zeroed sector", three, func(r *rig) {
			name, at := r.segmentWith(sample.Value(50))
			r.zero(name, at/512*512)
		}, []string{"repairs wal SEGMENT at 52-55"}, "its payload has checksum"},
		{"log, a segment missing", three, func(r *rig) {
			name, _ := r.segmentWith(sample.Value(30))
			r.remove(name)
		}, []string{"repairs wal SEGMENT at"}, "the file is missing"},
		{"log, its newest segments missing", three, func(r *rig) {
			r.remove("wal/0000000000000003.log")
			r.remove("wal/0000000000000004.log")
		}, []string{"repairs wal SEGMENT at 29-0"}, "the state has applied index 41"},
		{"log, all of it missing", three, func(r *rig) {
			names, err := r.fs.List(datadir.WAL)
			if err != nil {
				r.t.Fatal(err)
			}
			for _, n := range names {
				r.remove(path.Join(datadir.WAL, n))
			}
		}, []string{"repairs wal wal"}, "there is no log"},

		{"state, a value", three, func(r *rig) { r.flip(stateFile, r.find(stateFile, sample.Value(20))) },
			[]string{"repairs state " + stateFile}, "1 of 39 rows are damaged"},
		{"state, a value, nobody to fetch from", alone, func(r *rig) { r.flip(stateFile, r.find(stateFile, sample.Value(20))) },
			[]string{"repairs state " + stateFile}, "1 of 39 rows are damaged"},
		{"state, its own record", three, func(r *rig) { r.flipBehind(stateFile, "quorumState") },
			[]string{"repairs state " + stateFile}, "quorumState"},
		{"state, a member", three, func(r *rig) { r.flip(stateFile, r.find(stateFile, "10.0.0.3")) },
			[]string{"repairs state " + stateFile}, "member"},
		{"state of another history", three, func(r *rig) {
			other := three
			other.Term = 2
			content, err := os.ReadFile(newRig(r.t, other).fs.MapPath(stateFile))
			if err == nil {
				err = os.WriteFile(r.fs.MapPath(stateFile), content, 0o600)
			}
			if err != nil {
				r.t.Fatal(err)
			}
		}, []string{"refuses state " + stateFile + " 41-41"}, "index 41 of term 2, the log has term 3"},
		{"identity of another cluster", three, func(r *rig) { r.identity(0xc2, sample.MemberID) },
			[]string{"refuses state " + stateFile}, "belongs to cluster"},
		{"identity of no member", three, func(r *rig) { r.identity(sample.ClusterID, 0xff) },
			[]string{"unsafe state " + stateFile}, "is none of the cluster's 3 members"},
		{"state, file missing", three, func(r *rig) {
			if err := os.Remove(r.fs.MapPath(stateFile)); err != nil {
				r.t.Fatal(err)
			}
		}, []string{"repairs state " + stateFile}, "is gone"},
		{"state, file cut off", three, func(r *rig) {
			if err := os.Truncate(r.fs.MapPath(stateFile), 4096); err != nil {
				r.t.Fatal(err)
			}
		}, []string{"repairs state " + stateFile}, "has 4096 bytes"},
		{"CURRENT flipped", three, func(r *rig) { r.flip("state/CURRENT", 3) }, []string{"repairs state state/CURRENT"}, "holds"},
		{"CURRENT missing", three, func(r *rig) { r.remove("state/CURRENT") }, []string{"repairs state state/CURRENT"},
			"there is no state"},
		{"two starts died", three, func(r *rig) { r.create("state/0000000000000001/reopening") },
			[]string{"repairs state " + stateFile}, "two starts in a row"},
		{"two starts died, nobody to fetch from", alone, func(r *rig) { r.create("state/0000000000000001/reopening") },
			[]string{"note state " + stateFile}, "tries again all the same"},
		{"one start died", three, func(r *rig) { r.create("state/0000000000000001/opening") },
			[]string{"note state " + stateFile}, "once may be chance"},

		{"snapshot whole", three, func(r *rig) { r.snapshot() }, nil, ""},
		{"snapshot flipped", three, func(r *rig) { r.snapshot(); r.flip(snapFile, 10) }, []string{"harmless snap " + snapFile},
			"checksum"},
		{"snapshot unfinished", three, func(r *rig) { r.snapshot(); r.create("snap/x.tmp") }, []string{"note snap snap/x.tmp"},
			"unfinished"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.cfg)
			c.injure(r)
			report := r.run()
			var got []string
			for _, f := range report.Findings {
				if f.Part == "ballast" {
					continue // samples have none
				}
				if f.Part == "wal" && f.File != datadir.WAL {
					f.File = "SEGMENT"
				}
				got = append(got, describe(f))
				if !strings.Contains(f.What, c.says) {
					t.Errorf("finding says %q, want %q in it", f.What, c.says)
				}
				if f.Start != check.Note && (f.Then == "" || len(f.Next) == 0) {
					t.Errorf("no advice in %+v", f)
				}
			}
			if !matchAll(got, c.want) {
				t.Errorf("got findings\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			damaged := slices.ContainsFunc(c.want, func(w string) bool { return !strings.HasPrefix(w, "note") })
			if report.Damaged() != damaged {
				t.Errorf("damaged: %v, want %v", report.Damaged(), damaged)
			}
		})
	}
}

// matchAll allows a wanted finding to leave out the indexes.
func matchAll(got, want []string) bool {
	return slices.EqualFunc(got, want, func(g, w string) bool { return g == w || strings.HasPrefix(g, w+" ") })
}

const snapFile = "snap/0000000000000029-0000000000000003.db"

func (r *rig) create(name string) {
	r.t.Helper()
	f, err := r.fs.Create(name, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	f.Close()
}

func (r *rig) snapshot() {
	r.t.Helper()
	w, err := snap.Create(r.fs, datadir.Snap, snap.Meta{Index: 41, Term: 3}, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := w.Write([]byte("the content of a snapshot")); err != nil {
		r.t.Fatal(err)
	}
	if err := w.Finish(); err != nil {
		r.t.Fatal(err)
	}
}

// TestSound reads the numbers of a directory without damage.
func TestSound(t *testing.T) {
	report := newRig(t, three).run()
	if l := report.Log; l == nil || l.First != 2 || l.Last != 61 || l.LastTerm != 3 || l.Commit != 41 || l.Segments < 3 {
		t.Errorf("log %+v", l)
	}
	s := report.State
	if s == nil || s.Index != 41 || s.Term != 3 || s.Revision != 40 || s.Keys != 39 || s.Rows != 39 || s.Leases != 1 ||
		len(s.Members) != 3 {
		t.Errorf("state %+v", s)
	}
	if h := report.HardState; h == nil || h.Term != 3 || h.BootEpoch != 1 {
		t.Errorf("hard state %+v", h)
	}
}

// TestNothingThere tells a directory that is no member's from a damaged one.
func TestNothingThere(t *testing.T) {
	f := memfs.New(1, t.TempDir())
	if _, err := check.Run(f, check.Options{Dir: "DIR"}); !errors.Is(err, check.ErrNoData) {
		t.Errorf("got %v", err)
	}
}

// TestNotAllowed does not take for damage what this user must not read.
func TestNotAllowed(t *testing.T) {
	r := newRig(t, three)
	segment, _ := r.segmentWith(sample.Value(50))
	for _, hidden := range []string{"identity", "hardstate", datadir.WAL, segment, "state/CURRENT", stateFile} {
		r.fs.SetHook(func(op memfs.Op) error {
			if (op.Kind == memfs.OpOpen || op.Kind == memfs.OpList) && op.Name == hidden {
				return fs.ErrPermission
			}
			return nil
		})
		if report, err := check.Run(r.fs, check.Options{Dir: "DIR"}); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v, findings %+v", hidden, err, report.Findings)
		}
	}
}

// TestUnreadableLog says nothing about where a log ends of which nothing can be read.
func TestUnreadableLog(t *testing.T) {
	r := newRig(t, three)
	segments, err := r.fs.List(datadir.WAL)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range segments {
		r.flip(path.Join(datadir.WAL, name), 9)
	}
	if l := r.run().Log; l != nil {
		t.Errorf("log %+v", l)
	}
}
