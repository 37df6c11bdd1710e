package sim

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// Counts say what runs went through, so that a quiet run is not taken for a proof.
type Counts struct {
	Events, Crashes, Elections, Partitions, Clogs, Pauses, Stalls, Duplicates, Snapshots int
	Hangs, Fulls, NoRoomToStart, RefusedForSpace                                         int
	Rotted, FoundRunning, Repaired                                                       int
	Wiped, Restored, Unpromised, Clones, Refused                                         int
	AckedWrites, AckedReads, UnknownOutcomes, FailedWrites                               int
	LeasesGranted, Renewals, Expiries, GuardedWrites                                     int
	DurabilityChecks, PorcupineChecks                                                    int
	WatchEvents, WatchNotices                                                            int
	// CrashedAt counts crashes by the file operation that they struck, RoleChanges by the roles left and taken.
	CrashedAt, RoleChanges map[string]int
}

func newCounts() Counts {
	return Counts{CrashedAt: map[string]int{}, RoleChanges: map[string]int{}}
}

// numbers lists the plain counts, in the order in which they are printed.
func (c *Counts) numbers() []struct {
	name string
	n    *int
} {
	return []struct {
		name string
		n    *int
	}{
		{"events", &c.Events}, {"crashes", &c.Crashes}, {"elections", &c.Elections}, {"partitions", &c.Partitions},
		{"clogged links", &c.Clogs}, {"pauses", &c.Pauses}, {"stalls", &c.Stalls}, {"duplicates", &c.Duplicates},
		{"snapshots", &c.Snapshots}, {"acknowledged writes", &c.AckedWrites}, {"reads", &c.AckedReads},
		{"unknown outcomes", &c.UnknownOutcomes}, {"refused writes", &c.FailedWrites},
		{"watch events", &c.WatchEvents}, {"progress notices", &c.WatchNotices},
		{"leases granted", &c.LeasesGranted}, {"renewals", &c.Renewals}, {"leases expired", &c.Expiries},
		{"guarded writes", &c.GuardedWrites},
		{"hanging logs", &c.Hangs}, {"full disks", &c.Fulls}, {"writes without space", &c.RefusedForSpace},
		{"starts without space", &c.NoRoomToStart},
		{"damaged files", &c.Rotted}, {"found while running", &c.FoundRunning}, {"repaired nodes", &c.Repaired},
		{"wiped disks", &c.Wiped}, {"older disks", &c.Restored}, {"lost hard states", &c.Unpromised}, {"cloned disks", &c.Clones},
		{"refused nodes", &c.Refused},
		{"durability checks", &c.DurabilityChecks}, {"porcupine checks", &c.PorcupineChecks},
	}
}

// Add sums the counts of several runs.
func (c *Counts) Add(o Counts) {
	if c.CrashedAt == nil {
		c.CrashedAt, c.RoleChanges = map[string]int{}, map[string]int{}
	}
	mine, others := c.numbers(), o.numbers()
	for i := range mine {
		*mine[i].n += *others[i].n
	}
	for k, n := range o.CrashedAt {
		c.CrashedAt[k] += n
	}
	for k, n := range o.RoleChanges {
		c.RoleChanges[k] += n
	}
}

// Print writes the counts as a table; with coverage also where crashes struck and which roles changed.
func (c *Counts) Print(w io.Writer, coverage bool) {
	for _, n := range c.numbers() {
		fmt.Fprintf(w, "  %-20s %12d\n", n.name, *n.n)
	}
	if !coverage {
		return
	}
	for _, m := range []struct {
		title string
		of    map[string]int
	}{{"role changes", c.RoleChanges}, {"crashes at", c.CrashedAt}} {
		fmt.Fprintf(w, "%s:\n", m.title)
		for _, k := range slices.Sorted(maps.Keys(m.of)) {
			fmt.Fprintf(w, "  %-44s %8d\n", k, m.of[k])
		}
	}
}

// What the seeds of make sim must reach at least, or their silence proves little.
const (
	floorRoleChanges = 100 // of each kind
	floorRepairs     = 300 // damaged nodes; 1,000 seeds reach about 1,100
	floorRefused     = 300 // nodes with another disk than their own; 1,000 seeds reach about 980
	floorFaultPoints = 75  // different operations that a crash struck; 1,000 seeds reach about 90
)

// Thin says what the counts have too little of, nothing if all is well.
func (c *Counts) Thin() []string {
	var thin []string
	for _, change := range []string{
		"StateFollower to StatePreCandidate", "StatePreCandidate to StateCandidate", "StatePreCandidate to StateFollower",
		"StateCandidate to StateLeader", "StateCandidate to StateFollower", "StateCandidate to StatePreCandidate",
		"StateLeader to StateFollower",
	} {
		if n := c.RoleChanges[change]; n < floorRoleChanges {
			thin = append(thin, fmt.Sprintf("%s: %d times, want %d", change, n, floorRoleChanges))
		}
	}
	if n := len(c.CrashedAt); n < floorFaultPoints {
		thin = append(thin, fmt.Sprintf("crashes struck %d different operations, want %d", n, floorFaultPoints))
	}
	if c.Repaired < floorRepairs {
		thin = append(thin, fmt.Sprintf("%d damaged nodes were repaired, want %d", c.Repaired, floorRepairs))
	}
	if c.Refused < floorRefused {
		thin = append(thin, fmt.Sprintf("%d nodes with another disk than their own were refused, want %d", c.Refused, floorRefused))
	}
	return thin
}
