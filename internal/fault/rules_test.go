package fault

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// anyPeer and noPeer are what a member may say about an id.
func anyPeer(uint64) error { return nil }

var errNoPeer = errors.New("no such member")

func noPeer(uint64) error { return errNoPeer }

func TestValidateNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules Rules
		peer  func(uint64) error
		want  string // "" when the rules are fine
	}{
		{"nothing", Rules{}, noPeer, ""},
		{"a cut", Rules{Links: []Link{{In: true, Out: true, Drop: 1}}}, noPeer, ""},
		{"a peer", Rules{Links: []Link{{Peer: 7, In: true, Delay: time.Second, Jitter: MaxDelay}}}, anyPeer, ""},
		{"an unknown peer", Rules{Links: []Link{{}, {Peer: 7, In: true, Drop: 1}}}, noPeer, "link rule 2: no such member"},
		{"a probability above 1", Rules{Links: []Link{{In: true, Drop: 1.5}}}, anyPeer, "drop 1.5"},
		{"a negative probability", Rules{Links: []Link{{In: true, Duplicate: -0.1}}}, anyPeer, "duplicate -0.1"},
		{"no number", Rules{Links: []Link{{In: true, Drop: math.NaN()}}}, anyPeer, "drop NaN"},
		{"a negative delay", Rules{Links: []Link{{In: true, Delay: -1}}}, anyPeer, "delay -1ns"},
		{"a long jitter", Rules{Links: []Link{{In: true, Jitter: MaxDelay + 1}}}, anyPeer, "jitter 10.000000001s"},
		{"no direction", Rules{Links: []Link{{Drop: 1}}}, anyPeer, "neither direction"},
		{"a disk that is none", Rules{Disk: 4}, anyPeer, "disk fault 4"},
		{"a wall clock centuries off", Rules{Wall: math.MinInt64}, anyPeer, "wall clock off by"},
		{"too many", Rules{Links: make([]Link, maxLinks+1)}, anyPeer, "257 link rules"},
	} {
		err := c.rules.Validate(c.peer)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	for ttl, good := range map[time.Duration]bool{
		0: false, MinTTL - 1: false, MinTTL: true, MaxTTL: true, MaxTTL + 1: false,
	} {
		if err := CheckTTL(ttl); (err == nil) != good {
			t.Errorf("ttl %v: %v", ttl, err)
		}
	}
}

func TestRulesInWords(t *testing.T) {
	for want, r := range map[string]Rules{
		"no faults": {Links: []Link{{In: true}}},
		"messages from and to every peer cut; log writes stalled": {
			Links: []Link{{In: true, Out: true, Drop: 1}}, Disk: DiskStall},
		"messages to peer a1 lost 2.5%, doubled 10%, late 50ms to 60ms; wall clock -1h0m0s": {
			Links: []Link{{Peer: 0xa1, Out: true, Drop: 0.025, Duplicate: 0.1, Delay: 50 * time.Millisecond,
				Jitter: 10 * time.Millisecond}},
			Wall: -time.Hour},
		"messages from peer 2 late 1s; disk full; wall clock +1s": {
			Links: []Link{{Peer: 2, In: true, Delay: time.Second}}, Disk: DiskFull, Wall: time.Second},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if empty := want == "no faults"; r.Empty() != empty {
			t.Errorf("%q: empty is %v", want, !empty)
		}
	}
}

// A message that several rules concern meets all of them, and only those.
func TestRulesAddUp(t *testing.T) {
	r := Rules{Links: []Link{
		{In: true, Out: true, Drop: 0.5, Delay: time.Second},
		{Peer: 2, Out: true, Drop: 0.5, Duplicate: 0.25, Jitter: time.Minute},
		{Peer: 3, Out: true, Drop: 1},
	}}
	for _, c := range []struct {
		peer uint64
		d    Direction
		want Link
	}{
		{1, In, Link{Drop: 0.5, Delay: time.Second}},
		{2, In, Link{Drop: 0.5, Delay: time.Second}},
		{2, Out, Link{Drop: 0.75, Duplicate: 0.25, Delay: time.Second, Jitter: time.Minute}},
		{3, Out, Link{Drop: 1, Delay: time.Second}},
	} {
		if got := r.link(c.peer, c.d); got != c.want {
			t.Errorf("peer %d, direction %d: %+v, want %+v", c.peer, c.d, got, c.want)
		}
	}
	if !r.link(3, Out).cut() || r.link(2, Out).cut() {
		t.Error("only the link to 3 is cut")
	}
}
