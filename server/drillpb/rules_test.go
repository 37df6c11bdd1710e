package drillpb

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorumkv/quorumkv/internal/fault"
)

func TestRulesTravelWhole(t *testing.T) {
	for _, r := range []fault.Rules{
		{},
		{Links: []fault.Link{
			{Peer: 1, In: true, Drop: 1},
			{Peer: 1 << 63, Out: true, Drop: 0.25, Duplicate: 0.5, Delay: time.Second, Jitter: time.Millisecond},
		}, Disk: fault.DiskStall, Wall: -time.Hour},
		{Disk: fault.DiskFail},
		{Disk: fault.DiskFull},
	} {
		if diff := cmp.Diff(r, ToRules(FromRules(r))); diff != "" {
			t.Errorf("-sent +received\n%s", diff)
		}
	}
	if !ToRules(nil).Empty() {
		t.Error("no rules are not empty")
	}
	// Numbers are the wire format, and those of package fault follow them.
	for number, d := range map[int32]fault.Disk{0: fault.DiskWell, 1: fault.DiskStall, 2: fault.DiskFail, 3: fault.DiskFull} {
		if int32(d) != number || Disk_name[number] == "" {
			t.Errorf("disk fault %v is %d on the wire, want %d", d, d, number)
		}
	}
}
