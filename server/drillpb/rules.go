package drillpb

import (
	"time"

	"github.com/quorumkv/quorumkv/internal/fault"
)

// TokenKey is the metadata that carries a member's drill token.
const TokenKey = "quorumkv-drill-token"

// FromRules returns rules as they travel.
func FromRules(r fault.Rules) *Rules {
	out := &Rules{Disk: Disk(r.Disk), WallNs: int64(r.Wall)}
	for _, l := range r.Links {
		out.Links = append(out.Links, &Link{
			Peer: l.Peer, In: l.In, Out: l.Out, Drop: l.Drop, Duplicate: l.Duplicate,
			DelayNs: int64(l.Delay), JitterNs: int64(l.Jitter),
		})
	}
	return out
}

// ToRules returns the rules that r stands for, none for nil. They are what somebody sent: validate them.
func ToRules(r *Rules) fault.Rules {
	out := fault.Rules{Disk: fault.Disk(r.GetDisk()), Wall: time.Duration(r.GetWallNs())}
	for _, l := range r.GetLinks() {
		out.Links = append(out.Links, fault.Link{
			Peer: l.GetPeer(), In: l.GetIn(), Out: l.GetOut(), Drop: l.GetDrop(), Duplicate: l.GetDuplicate(),
			Delay: time.Duration(l.GetDelayNs()), Jitter: time.Duration(l.GetJitterNs()),
		})
	}
	return out
}
