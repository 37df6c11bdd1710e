package apply

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// What a sequence of reports comes to, among three voters and a learner.
func TestReportsDecide(t *testing.T) {
	voters := []uint64{1, 2, 3}
	r := func(member, hash uint64) Report { return Report{member, hash} }
	for _, c := range []struct {
		reports            []Report
		verdict            uint64 // 0: none
		agreeing           []uint64
		disputed, hopeless bool
	}{
		{nil, 0, nil, false, false},
		{[]Report{r(1, 7)}, 0, nil, false, false},
		{[]Report{r(1, 7), r(1, 7)}, 0, nil, false, false},
		{[]Report{r(2, 7), r(1, 7)}, 7, []uint64{1, 2}, false, false},
		{[]Report{r(1, 7), r(2, 8)}, 0, nil, true, false},
		{[]Report{r(1, 7), r(2, 8), r(3, 9)}, 0, nil, true, true},
		{[]Report{r(1, 7), r(2, 8), r(3, 8)}, 8, []uint64{2, 3}, false, false},
		// A learner has no voice, but can be asked for its state.
		{[]Report{r(1, 7), r(4, 7)}, 0, nil, false, false},
		{[]Report{r(1, 7), r(4, 7), r(2, 8), r(3, 7)}, 7, []uint64{1, 3, 4}, false, false},
		// What a member said first counts until there is a verdict, which nothing changes.
		{[]Report{r(1, 7), r(1, 8), r(2, 8)}, 0, nil, true, false},
		{[]Report{r(1, 7), r(1, 8), r(2, 8), r(3, 7)}, 7, []uint64{1, 3}, false, false},
		{[]Report{r(1, 7), r(2, 8), r(3, 7), r(2, 7)}, 7, []uint64{1, 2, 3}, false, false},
		{[]Report{r(1, 7), r(2, 7), r(2, 8), r(3, 8)}, 7, []uint64{1}, false, false},
	} {
		check := &Check{Index: 5, Hash: 7}
		for _, report := range c.reports {
			before := fmt.Sprintf("%+v", *check)
			next, news := check.reported(report, 5, voters)
			if same := fmt.Sprintf("%+v", *next) == before; fmt.Sprintf("%+v", *check) != before || news == same {
				t.Errorf("%v: %s became %+v, news %t, and is now %+v", c.reports, before, *next, news, *check)
			}
			if _, stale := next.reported(report, 4, voters); stale {
				t.Errorf("%v: a report for another check counts", c.reports)
			}
			check = next
		}
		if check.Decided != (c.verdict != 0) || check.Verdict != c.verdict || !slices.Equal(check.Agreeing(), c.agreeing) ||
			check.Disputed() != c.disputed || check.Hopeless(voters) != c.hopeless || check.Diverged() != (c.verdict == 8) {
			t.Errorf("%v: %+v, agreeing %v, disputed %t, hopeless %t", c.reports, *check, check.Agreeing(), check.Disputed(),
				check.Hopeless(voters))
		}
		again, err := decodeCheck(check.encode())
		if err != nil || fmt.Sprintf("%+v", *again) != fmt.Sprintf("%+v", *check) {
			t.Errorf("%+v is read as %+v, %v", *check, again, err)
		}
	}
	if _, news := (&Check{}).reported(Report{1, 7}, 0, voters); news {
		t.Error("a report counts before there was a check")
	}
}

// One replica has applied something else than the others. It finds out by the report that decides, and of that entry
// nothing becomes visible or durable. The reports and the noted hash survive a restart at any entry.
func TestDivergedReplicaStops(t *testing.T) {
	put := func(value string) []byte { return mustMarshal(putOf("k", value)) }
	log := func(value string) (entries []*raftpb.Entry) {
		for i, batch := range [][]Command{
			{{ID: RequestID{1, 1, 1}, Request: put(value)}},
			{{ID: RequestID{1, 1, 2}, Request: CheckRequest()}, {ID: RequestID{2, 1, 1}, Request: put("2")}},
			{{ID: RequestID{2, 1, 2}, Request: put("3")}},
		} {
			entries = append(entries, entry(uint64(2+i), 1, EncodeBatch(batch)))
		}
		return entries
	}
	a, b, odd := newRig(t, RequestID{Member: 1, Epoch: 1}), newRig(t, RequestID{}), newRig(t, RequestID{})
	for _, r := range []*rig{a, b} {
		r.replay(log("1"))
	}
	for _, e := range log("wrong") {
		odd.replay([]*raftpb.Entry{e})
		odd.flush()
		odd.reopen()
	}
	check := a.m.View().Check
	if want := (Check{Index: 3, Hash: check.Hash, Stirred: true}); check.String() != want.String() || !check.Stirred ||
		check.Hash == 0 || check.Hash == a.m.HistoryHash() {
		t.Fatalf("after the check: %+v", check)
	}
	if own := odd.m.View().Check; own.Index != 3 || own.Hash == check.Hash {
		t.Fatalf("the other replica noted %+v, the first %+v", own, check)
	}

	report := func(index, member uint64, r *rig) []*raftpb.Entry {
		return []*raftpb.Entry{entry(index, 1, EncodeBatch([]Command{
			{ID: RequestID{member, 1, index}, Request: ReportRequest(3, r.m.View().Check.Hash)},
		}))}
	}
	for _, e := range [][]*raftpb.Entry{report(5, 1, a), report(6, 0xffee, odd)} {
		for _, r := range []*rig{a, b, odd} {
			r.replay(e)
			r.flush()
			r.reopen()
		}
	}
	last := report(7, 2, b)
	b.replay(last)
	if results := a.replay(last); len(results) != 0 || a.m.View().Check.Diverged() || !a.m.View().Check.Decided {
		t.Errorf("results %v, check %+v", results, a.m.View().Check)
	}
	if a.dump() != b.dump() {
		t.Errorf("%s\nand\n%s", a.dump(), b.dump())
	}
	before := odd.m.View()
	_, err := odd.m.Apply(last, odd.self)
	var diverged *DivergedError
	if !errors.As(err, &diverged) || !errors.Is(err, backend.ErrDamaged) ||
		!slices.Equal(diverged.Check.Agreeing(), []uint64{1, 2}) || diverged.Check.Hash != before.Check.Hash {
		t.Fatalf("apply: %v", err)
	}
	if err := odd.m.Flush(); !errors.Is(err, backend.ErrDamaged) || odd.m.View() != before {
		t.Errorf("flush: %v", err)
	}
	odd.reopen()
	if index, _ := odd.m.Applied(); index != 6 {
		t.Errorf("after a restart: applied %d", index)
	}
}

// Checks are not held up by what a replica remembers of earlier commands, and reports only come from members.
func TestOddCompareCommands(t *testing.T) {
	r := newRig(t, RequestID{Member: 1, Epoch: 1})
	results := r.commitBatch([]Command{
		{ID: RequestID{1, 1, 5}, Request: mustMarshal(putOf("k", "v"))},
		{ID: RequestID{1, 1, 5}, Request: CheckRequest()},
		{ID: RequestID{1, 1, 6}, Request: []byte{ownRequest}},
		{ID: RequestID{1, 1, 7}, Request: append(CheckRequest(), 0)},
		{ID: RequestID{1, 1, 8}, Request: ReportRequest(2, 7)[:reportBytes-1]},
		{ID: RequestID{1, 1, 9}, Request: []byte{ownRequest, 9}},
	})
	for i, want := range []error{nil, nil, ErrMalformedRequest, ErrMalformedRequest, ErrMalformedRequest, ErrMalformedRequest} {
		if !errors.Is(results[i].Err, want) || (want == nil) != (results[i].Err == nil) {
			t.Errorf("command %d: %v, want %v", i, results[i].Err, want)
		}
	}
	if c := r.m.View().Check; c.Index != 2 || c.Stirred {
		t.Errorf("check %+v", c)
	}
	r.commitBatch([]Command{{ID: RequestID{99, 1, 1}, Request: ReportRequest(2, 7)}})
	r.commitBatch([]Command{{ID: RequestID{1, 1, 10}, Request: ReportRequest(1, 7)}})
	if c := r.m.View().Check; len(c.Reports) != 0 || c.Stirred {
		t.Errorf("a stranger's or an old report counts: %+v", c)
	}
	r.flush()
	r.reopen()
	if c := r.m.View().Check; c.Index != 2 || c.Hash == 0 {
		t.Errorf("after a restart: %+v", c)
	}
}

func FuzzDecodeCheck(f *testing.F) {
	f.Add((&Check{}).encode())
	f.Add((&Check{Index: 5, Hash: 7, Decided: true, Verdict: 8, Stirred: true, Reports: []Report{{1, 8}, {2, 8}}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCheck(b)
		if err != nil {
			return
		}
		if again := c.encode(); string(again) != string(b) {
			t.Fatalf("%x was read as %+v, which is written as %x", b, *c, again)
		}
	})
}
