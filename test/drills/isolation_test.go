package drills

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/fault"
)

// isolated says what rules for a member come to when all that can be done is to take it off its peers' network, or leave it
// there: whether it shall be off. Rules about peers that are off anyway ask for nothing. Whatever else is an error.
func isolated(members []drill.Member, off []bool, i int, rules fault.Rules) (bool, error) {
	if rules.Disk != fault.DiskWell || rules.Wall != 0 {
		return false, errors.New("the engine disturbs neither disks nor clocks: only the network can be cut")
	}
	cut := make([]bool, len(members))
	for _, l := range rules.Links {
		if !l.In || !l.Out || l.Drop != 1 {
			return false, fmt.Errorf("the engine cannot lose, delay or double a part of the messages, or one direction: %+v", l)
		}
		for j, m := range members {
			cut[j] = cut[j] || l.Peer == 0 || l.Peer == m.ID
		}
	}
	var from, alsoNeeded []string
	for j, m := range members {
		switch {
		case j == i:
		case cut[j] && !off[j]:
			from = append(from, m.Name)
		case !cut[j]:
			alsoNeeded = append(alsoNeeded, m.Name)
		}
	}
	switch {
	case len(alsoNeeded) == 0:
		return true, nil
	case len(from) == 0:
		return false, nil
	}
	return false, fmt.Errorf("the engine cuts %s off from all members or from none: not from %s without %s",
		members[i].Name, strings.Join(from, ", "), strings.Join(alsoNeeded, ", "))
}

func TestIsolated(t *testing.T) {
	members := []drill.Member{{Name: "n1", ID: 11}, {Name: "n2", ID: 12}, {Name: "n3", ID: 13}}
	none := []bool{false, false, false}
	drop := func(peers ...uint64) (r fault.Rules) {
		for _, p := range peers {
			r.Links = append(r.Links, fault.Link{Peer: p, In: true, Out: true, Drop: 1})
		}
		return r
	}
	for _, c := range []struct {
		name  string
		off   []bool
		i     int
		rules fault.Rules
		want  bool
		err   string
	}{
		{"no rules", none, 0, fault.Rules{}, false, ""},
		{"no rules for a member that is off", []bool{true, false, false}, 0, fault.Rules{}, false, ""},
		{"all peers by name", none, 0, drop(12, 13), true, ""},
		{"all peers at once", none, 2, drop(0), true, ""},
		{"the other end of a cut", []bool{true, false, false}, 1, drop(11), false, ""},
		{"a peer that is there", none, 1, drop(11), false, "not from n1 without n3"},
		{"a peer that is off and one that is not", []bool{true, false, false, false}, 1, drop(11, 14), false, "not from n4 without n3"},
		{"one direction", none, 0, fault.Rules{Links: []fault.Link{{In: true, Drop: 1}}}, false, "one direction"},
		{"some messages", none, 0, fault.Rules{Links: []fault.Link{{In: true, Out: true, Drop: 0.5}}}, false, "a part of the messages"},
		{"the disk", none, 0, fault.Rules{Disk: fault.DiskFull}, false, "only the network"},
	} {
		t.Run(c.name, func(t *testing.T) {
			of := slices.Clone(members)
			if len(c.off) == 4 {
				of = append(of, drill.Member{Name: "n4", ID: 14})
			}
			got, err := isolated(of, c.off, c.i, c.rules)
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("isolated: %v, %v, want %v, %q", got, err, c.want, c.err)
			}
		})
	}
}
