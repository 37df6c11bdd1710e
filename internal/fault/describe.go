package fault

import (
	"fmt"
	"strings"
	"time"
)

// String is what the rules do, in words for logs and health output.
func (r Rules) String() string {
	var parts []string
	for _, l := range r.Links {
		if l.harms() {
			parts = append(parts, l.String())
		}
	}
	if r.Disk != DiskWell {
		parts = append(parts, r.Disk.String())
	}
	if r.Wall != 0 {
		parts = append(parts, fmt.Sprintf("wall clock %s", signed(r.Wall)))
	}
	if len(parts) == 0 {
		return "no faults"
	}
	return strings.Join(parts, "; ")
}

func (l Link) String() string {
	where := "neither from nor to"
	switch {
	case l.In && l.Out:
		where = "from and to"
	case l.In:
		where = "from"
	case l.Out:
		where = "to"
	}
	who := "every peer"
	if l.Peer != 0 {
		who = fmt.Sprintf("peer %x", l.Peer)
	}
	return fmt.Sprintf("messages %s %s %s", where, who, l.effect())
}

func (l Link) effect() string {
	if l.cut() {
		return "cut"
	}
	var parts []string
	if l.Drop != 0 {
		parts = append(parts, fmt.Sprintf("lost %.4g%%", 100*l.Drop))
	}
	if l.Duplicate != 0 {
		parts = append(parts, fmt.Sprintf("doubled %.4g%%", 100*l.Duplicate))
	}
	switch {
	case l.Jitter != 0:
		parts = append(parts, fmt.Sprintf("late %v to %v", l.Delay, l.Delay+l.Jitter))
	case l.Delay != 0:
		parts = append(parts, fmt.Sprintf("late %v", l.Delay))
	}
	if len(parts) == 0 {
		return "untouched"
	}
	return strings.Join(parts, ", ")
}

func (d Disk) String() string {
	switch d {
	case DiskWell:
		return "disk well"
	case DiskStall:
		return "log writes stalled"
	case DiskFail:
		return "log syncs failing"
	case DiskFull:
		return "disk full"
	}
	return fmt.Sprintf("disk fault %d", int(d))
}

func signed(d time.Duration) string {
	if d > 0 {
		return "+" + d.String()
	}
	return d.String()
}

// Counts are the faults by kind, as metrics name them.
func (r Rules) Counts() (link, disk, wall int) {
	for _, l := range r.Links {
		if l.harms() {
			link++
		}
	}
	if r.Disk != DiskWell {
		disk = 1
	}
	if r.Wall != 0 {
		wall = 1
	}
	return link, disk, wall
}
