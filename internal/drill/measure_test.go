package drill

import (
	"fmt"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// seconds makes acknowledged writes on members at times, in seconds.
func seconds(writes ...any) *history.History {
	h := &history.History{Members: []string{"n1", "n2", "n3"}}
	for i := 0; i < len(writes); i += 2 {
		end := time.Duration(writes[i+1].(float64) * float64(time.Second))
		h.Ops = append(h.Ops, history.Op{
			ID: i, Member: writes[i].(string), Kind: history.Put, Outcome: history.OK, Begin: end - 10*time.Millisecond, End: end,
		})
	}
	return h
}

func measuring(h *history.History, rounds ...struck) *measured {
	var members []Member
	for _, name := range h.Members {
		members = append(members, Member{Name: name})
	}
	return &measured{run: &run{members: members, rounds: rounds}, h: h}
}

func TestGap(t *testing.T) {
	h := seconds("n1", 1.0, "n2", 1.5, "n1", 2.0, "n2", 4.0, "n3", 4.5, "n2", 6.0)
	for _, c := range []struct {
		members  []int
		from, to float64
		want     float64
	}{
		{[]int{0, 1, 2}, 1, 6, 2},      // between 2 and 4
		{[]int{1, 2}, 1, 6, 2.5},       // n2 alone has 1.5 and 4
		{[]int{0}, 1, 6, 4},            // n1 is never heard again
		{[]int{2}, 1, 6, 3.5},          // from the beginning on
		{[]int{0, 1, 2}, 4.5, 10, 4},   // up to the end
		{[]int{0, 1, 2}, 7, 9, 2},      // nothing at all
		{[]int{0, 1, 2}, 1.9, 2.1, .1}, // both ends
	} {
		s := func(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }
		got := measuring(h).gap(c.members, s(c.from), s(c.to))
		if d := got - s(c.want); d < -time.Millisecond || d > time.Millisecond {
			t.Errorf("gap of %v from %v to %v: %v, want %v s", c.members, c.from, c.to, got, c.want)
		}
	}
}

// TestCount: only what lies within the fault counts, and only on the members asked for.
func TestCount(t *testing.T) {
	h := seconds("n1", 1.0, "n1", 2.5, "n2", 2.6, "n1", 2.9, "n1", 4.0)
	s := struck{begin: 2 * time.Second, struckAt: 2200 * time.Millisecond, healing: 3 * time.Second}
	m := measuring(h, s)
	acked := func(o *history.Op) bool { return o.Outcome == history.OK }
	if n := m.count(s, []int{0}, acked); n != 2 {
		t.Errorf("%d of n1, want 2", n)
	}
	if n := m.count(s, []int{0, 1, 2}, acked); n != 3 {
		t.Errorf("%d of all, want 3", n)
	}
	h.Ops[1].Begin = 2100 * time.Millisecond // before the fault was in full effect
	if n := m.count(s, []int{0}, acked); n != 1 {
		t.Errorf("%d of n1 that began in time, want 1", n)
	}
	h.Ops[3].Outcome = history.Unknown
	if part, of := m.served(s, []int{0, 1, 2}, history.Put); of != 2 || part != 0.5 {
		t.Errorf("served %v of %d, want half of 2", part, of)
	}
}

func TestLeaders(t *testing.T) {
	h := seconds()
	for i, p := range []history.Poll{
		{Member: "n1", ID: 1, Leader: 1, Term: 2},
		{Member: "n2", ID: 2, Leader: 1, Term: 2},
		{Member: "n3", Error: "no answer"},
		{Member: "n2", ID: 2, Leader: 2, Term: 3},
		{Member: "n1", ID: 1, Leader: 1, Term: 2}, // has not heard of it
		{Member: "n2", ID: 2, Leader: 2, Term: 3},
	} {
		p.At = time.Duration(i+1) * 100 * time.Millisecond
		h.Polls = append(h.Polls, p)
	}
	s := struck{whom: []int{0}, begin: 150 * time.Millisecond, struckAt: 150 * time.Millisecond}
	m := measuring(h, s)
	if d := m.newLeader(s); d != 250*time.Millisecond {
		t.Errorf("another leader after %v, want 250 ms", d)
	}
	if n := m.leaderChanges(0, time.Second); n != 1 {
		t.Errorf("%d changes, want 1", n)
	}
	if n := m.leaderChanges(450*time.Millisecond, time.Second); n != 0 {
		t.Errorf("%d changes after the election, want 0", n)
	}
	want := []report.Reign{
		{Leader: "n1", Term: 2, Span: report.Span{Begin: 100 * time.Millisecond, End: 400 * time.Millisecond}},
		{Leader: "n2", Term: 3, Span: report.Span{Begin: 400 * time.Millisecond, End: time.Second}},
	}
	if got := reigns(h, time.Second); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("reigns %v, want %v", got, want)
	}
}

func TestTimeline(t *testing.T) {
	h := seconds("n1", 0.05, "n2", 0.15, "n1", 0.95, "n1", 1.0)
	h.Ops[1].Outcome = history.Unknown
	h.Ops[2].Kind = history.Get
	line := timeline(h, time.Second)
	if line.Step != 100*time.Millisecond || len(line.Points) != 10 {
		t.Fatalf("%d steps of %v", len(line.Points), line.Step)
	}
	if p := line.Points[0]; p.Writes != 1 || p.Reads != 0 || p.P50 != 10*time.Millisecond {
		t.Errorf("first step %+v", p)
	}
	if p := line.Points[1]; p.Errors != 1 || p.Writes != 0 {
		t.Errorf("second step %+v", p)
	}
	if p := line.Points[9]; p.Reads != 1 || p.Writes != 1 { // what ends with the drill is in the last step
		t.Errorf("last step %+v", p)
	}
	if gaps := line.Sides[0].Gaps; len(gaps) != 1 || gaps[0].Begin != 50*time.Millisecond || gaps[0].End != time.Second {
		t.Errorf("gaps of n1: %v", gaps)
	}
}

func TestMarks(t *testing.T) {
	for _, c := range []struct {
		mark report.Mark
		kept bool
	}{
		{atMost("", time.Second, time.Second, ""), true},
		{atMost("", time.Second+1, time.Second, ""), false},
		{atMost("", -1, time.Second, ""), false}, // never
		{none("", 0, ""), true},
		{none("", 1, ""), false},
		{share("", 0.99, 100, 0.99, ""), true},
		{share("", 0.98, 100, 0.99, ""), false},
		{share("", 1, 0, 0.99, ""), false}, // of nothing
	} {
		if c.mark.Kept != c.kept {
			t.Errorf("%+v: kept %t", c.mark, c.mark.Kept)
		}
	}
	if d := percentile([]time.Duration{3, 1, 2}, 50); d != 2 {
		t.Errorf("median %d", d)
	}
	if d := percentile([]time.Duration{3, 1, 2}, 100); d != 3 {
		t.Errorf("highest %d", d)
	}
}

func TestHold(t *testing.T) {
	s := Scenario{Hold: 30 * time.Second, Rounds: 2}
	for _, c := range []struct {
		duration time.Duration
		rounds   int
		want     time.Duration
	}{
		{0, 2, 30 * time.Second},
		{time.Hour, 2, 30 * time.Second},
		{calm + 2*(recovery+8*time.Second), 2, 8 * time.Second},
		{time.Second, 2, shortestHold},
	} {
		if d := (Options{Duration: c.duration, Rounds: c.rounds}).hold(s); d != c.want {
			t.Errorf("%v for %d rounds: the fault lasts %v, want %v", c.duration, c.rounds, d, c.want)
		}
	}
}
