package sim

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// Counts say what runs went through, so that a quiet run is not taken for a proof.
type Counts struct {
	Events, Crashes, Elections, Partitions, Clogs, Pauses, Stalls, Duplicates, Snapshots, Gone int
	Hangs, Fulls, NoRoomToStart, RefusedForSpace                                               int
	Rotted, Unreadable, FoundRunning, Repaired, Scrubbed, ScrubPasses                          int
	SyncErrors, WriteErrors, EndedByError                                                      int
	StaleFrames, LostWrites, AstrayWrites, LiesExposed, Losses                                 int
	AppliedBesideCommits, CrashesBesideCommits                                                 int
	SnapshotTrials, QuickSnapshots, Garbled, Overloads, OverloadTaken                          int
	VotesAhead, VoteTrials, GoneTrials, Blackouts, ClockSteps                                  int
	Wiped, Restored, Unpromised, Clones, Refused                                               int
	Twisted, Diverged, Rebuilt, Withdrawn                                                      int
	AckedWrites, AckedReads, PastReads, UnknownOutcomes, FailedWrites                          int
	LeasesGranted, Renewals, Expiries, GuardedWrites                                           int
	DurabilityChecks, PorcupineChecks                                                          int
	WatchEvents, WatchNotices                                                                  int
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
		{"events", &c.Events}, {"crashes", &c.Crashes}, {"blackouts", &c.Blackouts}, {"elections", &c.Elections}, {"partitions", &c.Partitions},
		{"peers gone", &c.Gone}, {"gone trials", &c.GoneTrials}, {"clogged links", &c.Clogs}, {"pauses", &c.Pauses}, {"clock steps", &c.ClockSteps}, {"stalls", &c.Stalls}, {"duplicates", &c.Duplicates},
		{"snapshots", &c.Snapshots}, {"acknowledged writes", &c.AckedWrites}, {"reads", &c.AckedReads},
		{"reads of the past", &c.PastReads},
		{"unknown outcomes", &c.UnknownOutcomes}, {"refused writes", &c.FailedWrites},
		{"watch events", &c.WatchEvents}, {"progress notices", &c.WatchNotices},
		{"leases granted", &c.LeasesGranted}, {"renewals", &c.Renewals}, {"leases expired", &c.Expiries},
		{"guarded writes", &c.GuardedWrites},
		{"hanging logs", &c.Hangs}, {"full disks", &c.Fulls}, {"writes without space", &c.RefusedForSpace},
		{"starts without space", &c.NoRoomToStart}, {"votes without space", &c.VotesAhead}, {"vote trials", &c.VoteTrials},
		{"damaged files", &c.Rotted}, {"unreadable of these", &c.Unreadable}, {"found while running", &c.FoundRunning},
		{"repaired nodes", &c.Repaired}, {"scrub passes", &c.ScrubPasses}, {"found by scrubs", &c.Scrubbed},
		{"failed syncs", &c.SyncErrors}, {"failed writes", &c.WriteErrors}, {"ended by the disk", &c.EndedByError},
		{"stale frames", &c.StaleFrames}, {"lost writes", &c.LostWrites}, {"writes astray", &c.AstrayWrites},
		{"lies exposed", &c.LiesExposed}, {"entries lost", &c.Losses},
		{"twisted entries", &c.Twisted}, {"found diverged", &c.Diverged}, {"rebuilt", &c.Rebuilt},
		{"lost, not given away", &c.Withdrawn},
		{"garbled messages", &c.Garbled}, {"overloads", &c.Overloads}, {"writes taken in them", &c.OverloadTaken},
		{"applied beside commits", &c.AppliedBesideCommits}, {"crashes beside commits", &c.CrashesBesideCommits},
		{"snapshot trials", &c.SnapshotTrials}, {"two within 1 s", &c.QuickSnapshots},
		{"wiped disks", &c.Wiped}, {"older disks", &c.Restored}, {"lost hard states", &c.Unpromised}, {"cloned disks", &c.Clones},
		{"refused nodes", &c.Refused},
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

// What the seeds of make sim must come across at least, or their silence proves little: the CI column of the fault matrix
// (docs/reliability.md), for that many seeds. Fewer seeds need proportionally less, but for the last two.
const (
	floorSeeds       = 3000
	floorRoleChanges = 100 // of each kind
	floorFaultPoints = 75  // different operations that a crash struck
)

// floors are the rows of the fault matrix whose faults come at random.
var floors = []struct {
	row  int
	what string
	want int
	got  func(*Counts) int
}{
	{2, "duplicates", 100_000, func(c *Counts) int { return c.Duplicates }},
	{3, "partitions", 5_000, func(c *Counts) int { return c.Partitions }},
	{3, "peers that refused connections", 20_000, func(c *Counts) int { return c.Gone }},
	{4, "clogged links", 3_000, func(c *Counts) int { return c.Clogs }},
	{5, "messages damaged or forged", 100_000, func(c *Counts) int { return c.Garbled }},
	{6, "crashes", 10_000, func(c *Counts) int { return c.Crashes }},
	{8, "power cuts of all nodes together", 500, func(c *Counts) int { return c.Blackouts }},
	{9, "pauses", 3_000, func(c *Counts) int { return c.Pauses }},
	{10, "steps of wall clocks", 1_000, func(c *Counts) int { return c.ClockSteps }},
	{11, "failed syncs", 3_000, func(c *Counts) int { return c.SyncErrors }},
	{12, "failed writes", 1_800, func(c *Counts) int { return c.WriteErrors }},
	{12, "unreadable sectors", 600, func(c *Counts) int { return c.Unreadable }},
	{13, "full disks", 500, func(c *Counts) int { return c.Fulls }},
	{13, "votes of nodes without space", 100, func(c *Counts) int { return c.VotesAhead }},
	{14, "stalls", 500, func(c *Counts) int { return c.Stalls + c.Hangs }},
	{15, "damaged files", 800, func(c *Counts) int { return c.Rotted }},
	{15, "repaired nodes", 900, func(c *Counts) int { return c.Repaired }},
	{15, "times a scrub found damage", 6_000, func(c *Counts) int { return c.Scrubbed }},
	{16, "states that differed from the log, found and rebuilt", 1_500, func(c *Counts) int { return c.Rebuilt }},
	{17, "writes lost or astray, stale frames", 2_000, func(c *Counts) int { return c.LostWrites + c.AstrayWrites + c.StaleFrames }},
	{17, "sectors of them that a power cut exposed", 800, func(c *Counts) int { return c.LiesExposed }},
	{18, "entries damaged on a quorum or everywhere", 100, func(c *Counts) int { return c.Losses }},
	{19, "refused nodes with another disk than their own", 900, func(c *Counts) int { return c.Refused }},
	{20, "pieces of snapshots with trouble", 1_000, func(c *Counts) (n int) {
		for _, k := range c.Pieces {
			n += k
		}
		return n
	}},
	{20, "snapshots within 1 s of another", 30, func(c *Counts) int { return c.QuickSnapshots }},
	{29, "entries applied while a commit was under way", 60_000, func(c *Counts) int { return c.AppliedBesideCommits }},
	{29, "crashes while a commit was under way", 300, func(c *Counts) int { return c.CrashesBesideCommits }},
	{24, "overloads", 100, func(c *Counts) int { return c.Overloads }},
}

// Thin says what the counts of that many seeds have too little of, nothing if all is well.
func (c *Counts) Thin(seeds int) []string {
	var thin []string
	for _, f := range floors {
		if want, n := f.want*seeds/floorSeeds, f.got(c); n < want {
			thin = append(thin, fmt.Sprintf("row %d of the fault matrix: %d %s, want %d", f.row, n, f.what, want))
		}
	}
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
	for pieces := 1; pieces <= maxPieces; pieces++ {
		for number := 1; number <= pieces; number++ {
			for t := pieceLost; t < pieceTroubles; t++ {
				if what := pieceKey(number, pieces, t); c.Pieces[what] == 0 {
					thin = append(thin, "never with a piece of a snapshot: "+what)
				}
			}
		}
	}
	return thin
}
