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
	Rotted, Unreadable, FoundRunning, Repaired, Scrubbed, ScrubPasses                    int
	SyncErrors, WriteErrors, EndedByError                                                int
	StaleFrames, LostWrites, AstrayWrites, LiesExposed, Losses                           int
	SnapshotTrials, QuickSnapshots, Garbled, Overloads, OverloadTaken                    int
	Twisted, Diverged, Rebuilt, Withdrawn                                                int
	AckedWrites, AckedReads, PastReads, UnknownOutcomes, FailedWrites                    int
	LeasesGranted, Renewals, Expiries, GuardedWrites                                     int
	DurabilityChecks, PorcupineChecks                                                    int
	WatchEvents, WatchNotices                                                            int
	// CrashedAt counts crashes by the file operation that they struck, RoleChanges by the roles left and taken, Pieces
	// what came with the pieces of snapshots.
	CrashedAt, RoleChanges, Pieces map[string]int
}

func newCounts() Counts {
	return Counts{CrashedAt: map[string]int{}, RoleChanges: map[string]int{}, Pieces: map[string]int{}}
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
		{"reads of the past", &c.PastReads},
		{"unknown outcomes", &c.UnknownOutcomes}, {"refused writes", &c.FailedWrites},
		{"watch events", &c.WatchEvents}, {"progress notices", &c.WatchNotices},
		{"leases granted", &c.LeasesGranted}, {"renewals", &c.Renewals}, {"leases expired", &c.Expiries},
		{"guarded writes", &c.GuardedWrites},
		{"hanging logs", &c.Hangs}, {"full disks", &c.Fulls}, {"writes without space", &c.RefusedForSpace},
		{"starts without space", &c.NoRoomToStart},
		{"damaged files", &c.Rotted}, {"unreadable of these", &c.Unreadable}, {"found while running", &c.FoundRunning},
		{"repaired nodes", &c.Repaired}, {"scrub passes", &c.ScrubPasses}, {"found by scrubs", &c.Scrubbed},
		{"failed syncs", &c.SyncErrors}, {"failed writes", &c.WriteErrors}, {"ended by the disk", &c.EndedByError},
		{"stale frames", &c.StaleFrames}, {"lost writes", &c.LostWrites}, {"writes astray", &c.AstrayWrites},
		{"lies exposed", &c.LiesExposed}, {"entries lost", &c.Losses},
		{"twisted entries", &c.Twisted}, {"found diverged", &c.Diverged}, {"rebuilt", &c.Rebuilt},
		{"lost, not given away", &c.Withdrawn},
		{"garbled messages", &c.Garbled}, {"overloads", &c.Overloads}, {"writes taken in them", &c.OverloadTaken},
		{"snapshot trials", &c.SnapshotTrials}, {"two within 1 s", &c.QuickSnapshots},
		{"durability checks", &c.DurabilityChecks}, {"porcupine checks", &c.PorcupineChecks},
	}
}

// Add sums the counts of several runs.
func (c *Counts) Add(o Counts) {
	if c.CrashedAt == nil {
		*c = newCounts()
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
	for k, n := range o.Pieces {
		c.Pieces[k] += n
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
	}{{"role changes", c.RoleChanges}, {"pieces of snapshots", c.Pieces}, {"crashes at", c.CrashedAt}} {
		fmt.Fprintf(w, "%s:\n", m.title)
		for _, k := range slices.Sorted(maps.Keys(m.of)) {
			fmt.Fprintf(w, "  %-44s %8d\n", k, m.of[k])
		}
	}
}

// intact tells whether no disk and no memory has lied yet.
func (c *Counts) intact() bool { return c.Rotted+c.LostWrites+c.AstrayWrites+c.Twisted == 0 }

// What the seeds of make sim must reach at least, or their silence proves little.
const (
	floorRoleChanges = 100 // of each kind
	floorRepairs     = 300 // damaged nodes; 1,000 seeds reach about 1,100
	floorDiverged    = 500 // nodes that were found and rebuilt; 1,000 seeds reach about 1,400
	floorFaultPoints = 75  // different operations that a crash struck; 1,000 seeds reach about 90

	floorScrubbed    = 2000 // damage found by scrubs; 1,000 seeds reach about 4,900
	floorUnreadable  = 200  // sectors; about 500
	floorSyncErrors  = 1000 // about 2,400
	floorWriteErrors = 600  // about 1,500
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
	for _, at := range []struct {
		n, least int
		what     string
	}{
		{c.Repaired, floorRepairs, "damaged nodes were repaired"},
		{c.Rebuilt, floorDiverged, "nodes that had diverged were rebuilt"},
		{c.Scrubbed, floorScrubbed, "times a scrub found damage"},
		{c.Unreadable, floorUnreadable, "sectors could not be read"},
		{c.SyncErrors, floorSyncErrors, "syncs failed"},
		{c.WriteErrors, floorWriteErrors, "writes failed"},
	} {
		if at.n < at.least {
			thin = append(thin, fmt.Sprintf("%d %s, want %d", at.n, at.what, at.least))
		}
	}
	return thin
}
