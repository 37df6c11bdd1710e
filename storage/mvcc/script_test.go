package mvcc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// The scripts in testdata are short histories of one store. Keys and values are plain words; an end of "\0" means all
// keys from the first on.
//
//	write             one transaction per line: "put KEY VALUE [LEASE]" and "del KEY [END]", with ";" in between;
//	                  prints the rows it made
//	range [rev=N] [limit=N] [count]
//	                  one "KEY [END]" per line, read from a view
//	hold NAME         keeps a view; "range view=NAME" reads from it later
//	compact rev=N     gives up history, for readers
//	step n=N          removes up to N compacted rows
//	flush, reopen     makes the state durable; loses what is not, and starts again
//	index             every key's revisions, t for a tombstone, and a * on keys that have a pair now
//	rows              what lies in bbolt, and what the next flush adds to it
//	hash              HashKV: one "REV" per line, 0 for the newest
//	status            revisions, keys and sizes
//
// Rewrite the expectations with: go test ./storage/mvcc -run TestScripts -rewrite
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{rig: newRig(t), views: map[string]*View{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.test, s.t, s.d = t, t, d
			s.out.Reset()
			s.run()
			if s.out.Len() == 0 {
				return "ok\n"
			}
			return s.out.String()
		})
	})
}

type script struct {
	*rig
	test  *testing.T // whose block runs
	d     *datadriven.TestData
	views map[string]*View
	out   strings.Builder
}

func (s *script) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func (s *script) run() {
	switch s.d.Cmd {
	case "write":
		s.lines(s.write)
	case "range":
		s.readRanges()
	case "hold":
		s.views[s.d.CmdArgs[0].Key] = s.store.View()
	case "compact":
		if err := s.store.Compact(s.number("rev")); err != nil {
			s.say("error: %v", err)
		}
	case "step":
		s.say("done=%t", s.store.CompactStep(int(s.number("n"))))
	case "flush":
		s.flush()
	case "reopen":
		s.reopen()
	case "index":
		s.store.index.ascend(span{unbounded: true}, func(e entry) bool {
			it := e.it
			mark := ""
			if it.version > 0 {
				mark = fmt.Sprintf("* created=%d version=%d", it.created, it.version)
			}
			s.say("%s: %s%s", e.key, strings.Join(revisionsOf(it), " "), mark)
			return true
		})
	case "rows":
		s.rows()
	case "hash":
		s.lines(s.hash)
	case "status":
		v := s.store.View()
		s.say("revision=%d compacted=%d keys=%d live-bytes=%d pending=%d", v.Revision(), v.CompactRevision(), v.Keys(),
			v.LiveBytes(), s.store.FreshOps())
	default:
		s.d.Fatalf(s.test, "unknown command %q", s.d.Cmd)
	}
}

func revisionsOf(it *item) []string {
	var all []string
	for _, w := range append(slices.Clone(it.before()), it.newest) {
		all = append(all, revisionText(w.revision(), w.tombstone()))
	}
	return all
}

func revisionText(r Revision, tombstone bool) string {
	if tombstone {
		return r.String() + "t"
	}
	return r.String()
}

func (s *script) number(name string) (n int64) {
	if !s.d.HasArg(name) {
		return 0
	}
	var text string
	s.d.ScanArgs(s.test, name, &text)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		s.d.Fatalf(s.test, "%s: %v", name, err)
	}
	return n
}

func (s *script) lines(f func(line string)) {
	for line := range strings.SplitSeq(strings.TrimSpace(s.d.Input), "\n") {
		f(line)
	}
}

func (s *script) write(line string) {
	w := s.store.Begin()
	for part := range strings.SplitSeq(line, ";") {
		words := strings.Fields(part)
		switch {
		case len(words) >= 3 && words[0] == "put":
			lease := int64(0)
			if len(words) > 3 {
				lease, _ = strconv.ParseInt(words[3], 10, 64)
			}
			w.Put([]byte(words[1]), []byte(words[2]), lease)
		case len(words) >= 2 && words[0] == "del":
			w.DeleteRange([]byte(words[1]), endOf(words[2:]))
		default:
			s.d.Fatalf(s.test, "cannot read %q", part)
		}
	}
	var rows []string
	for _, e := range w.Changes() {
		rows = append(rows, revisionText(e.Rev, e.Delete)+" "+string(e.KV.Key))
	}
	w.End()
	if rows == nil {
		rows = append(rows, "nothing changed")
	}
	s.say("revision %d: %s", s.store.Revision(), strings.Join(rows, ", "))
}

// endOf reads the optional end of a range.
func endOf(words []string) []byte {
	if len(words) == 0 {
		return nil
	}
	return []byte(strings.ReplaceAll(words[0], `\0`, "\x00"))
}

func (s *script) readRanges() {
	view := s.store.View()
	if s.d.HasArg("view") {
		var name string
		s.d.ScanArgs(s.test, "view", &name)
		view = s.views[name]
	}
	o := RangeOptions{Revision: s.number("rev"), Limit: int(s.number("limit")), CountOnly: s.d.HasArg("count")}
	s.lines(func(line string) {
		words := strings.Fields(line)
		res, err := view.Range(endOf(words[:1]), endOf(words[1:]), o)
		if err != nil {
			s.say("%s: error: %v", line, err)
			return
		}
		s.say("%s: count=%d at revision %d", line, res.Count, view.Revision())
		for _, kv := range res.KVs {
			lease := ""
			if kv.Lease != 0 {
				lease = fmt.Sprintf(" lease=%d", kv.Lease)
			}
			s.say("  %s=%s create=%d mod=%d version=%d%s", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version, lease)
		}
	})
}

// rows prints what bbolt has. A row that physical compaction has removed stays there until the next flush.
func (s *script) rows() {
	err := s.db.Read(func(tx *bbolt.Tx) error {
		return tx.Bucket(backend.Key).ForEach(func(k, v []byte) error {
			r, tombstone, err := parseRevisionKey(k)
			if err != nil {
				return err
			}
			value, err := openRowValue(k, v)
			if err != nil {
				return err
			}
			var kv mvccpb.KeyValue
			if err := decodeKeyValue(value, &kv); err != nil {
				return err
			}
			s.say("stored %s %s", revisionText(r, tombstone), kv.Key)
			return nil
		})
	})
	if err != nil {
		s.d.Fatalf(s.test, "%v", err)
	}
	for _, e := range s.store.overlay[s.store.flushed:] {
		s.say("pending %s %s", revisionText(e.Rev, e.Delete), e.KV.Key)
	}
	for _, w := range s.store.deletes {
		s.say("pending removal of %s", revisionText(w.rev, w.tombstone))
	}
}

func (s *script) hash(line string) {
	rev, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		s.d.Fatalf(s.test, "%v", err)
	}
	h, err := s.store.View().HashKV(rev)
	if err != nil {
		s.say("%d: error: %v", rev, err)
		return
	}
	s.say("%d: %08x, revision %d, compacted %d", rev, h.Hash, h.HashRevision, h.CompactRevision)
}
