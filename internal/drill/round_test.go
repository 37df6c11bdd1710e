package drill

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/drill/load"
	"github.com/quorumkv/quorumkv/internal/fault"
)

// ruled is a cluster that keeps the rules it is given.
type ruled struct {
	members   []Member
	rules     []fault.Rules
	processes Processes
}

// mortal are processes that die and start, and do nothing else.
type mortal struct{ Processes }

func (mortal) Kill(int) error  { return nil }
func (mortal) Start(int) error { return nil }

func (c *ruled) Members() []Member           { return c.members }
func (c *ruled) Client(int) *clientv3.Client { panic("nobody is asked here") }
func (c *ruled) Processes() Processes        { return c.processes }

func (c *ruled) SetFaults(_ context.Context, i int, rules fault.Rules, _ time.Duration) error {
	c.rules[i] = rules
	return nil
}

// passes reports whether a message gets from one member to another.
func (c *ruled) passes(from, to int) bool {
	drops := func(i, peer int, out bool) bool {
		for _, l := range c.rules[i].Links {
			if (l.Peer == 0 || l.Peer == c.members[peer].ID) && (out && l.Out || !out && l.In) && l.Drop == 1 {
				return true
			}
		}
		return false
	}
	return !drops(from, to, true) && !drops(to, from, false)
}

func newRound(members int) (*round, *ruled) {
	c := &ruled{rules: make([]fault.Rules, members)}
	var names []string
	for i := range members {
		c.members = append(c.members, Member{Name: string(rune('a' + i)), ID: uint64(i + 1)})
		names = append(names, c.members[i].Name)
	}
	r := &run{cluster: c, members: c.members, done: conditions{of: make([]condition, members)}, live: &witness{}}
	r.show = newShow(r, silent{})
	r.rec = load.NewRecorder("p/", names, 1, nil)
	return &round{run: r, number: 1}, c
}

type silent struct{}

func (silent) Observe(Progress) {}

// TestCuts looks which members hear each other after each way to cut the network.
func TestCuts(t *testing.T) {
	type link func(from, to int) bool
	for name, c := range map[string]struct {
		members int
		do      func(*round) error
		want    link
	}{
		"cut":             {5, func(r *round) error { return r.cut(t.Context(), []int{1, 3}) }, func(from, to int) bool { return (from%2 == 1) == (to%2 == 1) }},
		"isolate":         {5, func(r *round) error { return r.isolate(t.Context(), []int{0, 2, 4}) }, func(from, to int) bool { return from%2+to%2 == 2 }},
		"deaf":            {3, func(r *round) error { r.number = 2; return r.split(t.Context(), 0) }, func(_, to int) bool { return to != 0 }},
		"mute":            {3, func(r *round) error { r.number = 4; return r.split(t.Context(), 0) }, func(from, _ int) bool { return from != 0 }},
		"bridge of three": {3, func(r *round) error { r.number = 3; return r.split(t.Context(), 0) }, func(from, to int) bool { return from == 1 || to == 1 }},
		"bridge of five": {5, func(r *round) error { r.number = 3; return r.split(t.Context(), 2) }, func(from, to int) bool {
			half := func(i int) bool { return i == 2 || i == 1 } // with the leader
			return from == 0 || to == 0 || half(from) == half(to)
		}},
		"minority of five": {5, func(r *round) error { r.number = 5; return r.split(t.Context(), 2) }, func(from, to int) bool {
			few := func(i int) bool { return i == 2 || i == 0 }
			return few(from) == few(to)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r, cluster := newRound(c.members)
			if err := c.do(r); err != nil {
				t.Fatal(err)
			}
			for from := range c.members {
				for to := range c.members {
					if from != to && cluster.passes(from, to) != c.want(from, to) {
						t.Errorf("messages from %d to %d pass: %t", from, to, !c.want(from, to))
					}
				}
			}
			if err := r.undo(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, rules := range cluster.rules {
				if len(rules.Links) > 0 {
					t.Errorf("member %d keeps %+v", i, rules)
				}
			}
		})
	}
}

// TestFaultsAreRecorded: a fault has its members, and an end.
func TestFaultsAreRecorded(t *testing.T) {
	r, _ := newRound(3)
	r.begin("a thing", 0, 2)
	r.ended()
	h := r.rec.History()
	if len(h.Faults) != 1 || h.Faults[0].Until < h.Faults[0].At || h.Faults[0].What != "a thing" || len(h.Faults[0].Members) != 2 {
		t.Errorf("%+v", h.Faults)
	}
	if s := r.struck; !s.begun || len(s.whom) != 2 || s.leader != -1 {
		t.Errorf("%+v", s)
	}
}

// TestStartsAreRecorded: of the members that were killed, and after that.
func TestStartsAreRecorded(t *testing.T) {
	r, cluster := newRound(3)
	cluster.processes = mortal{}
	if err := r.fell(t.Context(), true, 1); err != nil {
		t.Fatal(err)
	}
	killed := r.rec.Now()
	if err := r.undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h := r.rec.History(); len(h.Starts) != 1 || h.Starts[0].Member != "b" || h.Starts[0].At < killed {
		t.Errorf("killed at %v, started: %+v", killed, h.Starts)
	}
}
