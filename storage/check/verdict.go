package check

import (
	"fmt"
	"slices"
)

// verdict is what a server does about damage when it starts, and what is left to do for the operator. This file is the
// one place that says so; it follows the table in the server's repair.
type verdict struct {
	start Start
	then  string
	next  []string
}

// initialIndex is where the log of a new cluster begins: such a log holds all that ever happened.
const initialIndex = 1

// startIt is the command that lets the server do its part.
func (c *checker) startIt() string {
	return fmt.Sprintf("quorumkv --data-dir %s ... (the flags it had), then look for the reason on its disk", c.o.Dir)
}

// leaveIt is for damage that cannot be repaired under this member's id.
func (c *checker) leaveIt() []string {
	if c.alone() {
		return []string{"restore it from a backup"}
	}
	return []string{
		"quorumctl --endpoints OTHERS endpoint health: with a majority of the others up, nothing is lost. Keep this " +
			"member stopped: replacing it under a new id is not supported yet",
		"without a majority: quorumctl recover DIR --plan, with the directory of another member that is whole",
	}
}

// recoverIt is for a member that cannot go on, and whose state is whole.
func (c *checker) recoverIt() []string {
	return []string{fmt.Sprintf("quorumctl recover %s --plan", c.o.Dir)}
}

// alone tells whether there is nobody to fetch anything from.
func (c *checker) alone() bool {
	if c.applied.ok {
		return len(c.applied.members) == 1
	}
	return len(c.founders) == 1
}

func (c *checker) identityLost() verdict {
	return verdict{Refuses, "it does not start: it cannot know who it is", c.leaveIt()}
}

func (c *checker) votesLost() verdict {
	next := c.leaveIt()
	if c.alone() {
		next = c.recoverIt()
	}
	return verdict{Refuses, "it does not start: it cannot know whom it has voted for, and might vote again", next}
}

func (c *checker) copyDamaged() verdict {
	return verdict{Repairs, "it writes the copy anew from the other one", []string{c.startIt()}}
}

// entriesDamaged judges entries that cannot be read.
func (c *checker) entriesDamaged() verdict {
	switch {
	case c.stateHasDamaged():
		return verdict{Repairs, fmt.Sprintf("it starts its log anew behind the damage: the state has applied up to index %d",
			c.applied.index), []string{c.startIt()}}
	case c.alone():
		return verdict{Refuses, "it does not start: nobody else has the entries", c.recoverIt()}
	}
	return verdict{Repairs, "it keeps silent until it has fetched the entries from its peers, then takes part again",
		[]string{c.startIt(), fmt.Sprintf("if no majority is left to fetch from: quorumctl recover %s --plan", c.o.Dir)}}
}

// stateHasDamaged tells whether all entries that cannot be read are in the state, and the log goes on behind it.
func (c *checker) stateHasDamaged() bool {
	if c.wal == nil || !c.wal.Whole || !c.applied.ok {
		return false
	}
	term, ok := c.wal.Term(c.applied.index)
	return ok && term == c.applied.term
}

func (c *checker) stateLost() verdict {
	switch {
	case c.wal != nil && c.wal.Corrupt == nil && c.wal.Base.Index == initialIndex:
		return verdict{Repairs, "it rebuilds the state from its log, which goes back to the beginning", []string{c.startIt()}}
	case c.alone():
		return verdict{Refuses, "it does not start: the log does not go back to the beginning, and nobody else has the state",
			[]string{"restore it from a backup"}}
	}
	return verdict{Repairs, "it fetches a snapshot from a peer and takes part once it has it", []string{c.startIt()}}
}

func (c *checker) snapshotDamaged() verdict {
	return verdict{Harmless, "it removes the file: the state does not need it", []string{c.startIt()}}
}

func (c *checker) damageForgiven() verdict {
	return verdict{Harmless, "it passes over it: what it held stands elsewhere in the log", []string{c.startIt()}}
}

// togetherNot is for files that are sound and do not belong together.
func (c *checker) togetherNot(then string) verdict {
	return verdict{Refuses, "it does not start: " + then, slices.Concat(
		[]string{"put back the files that belong together, if only some of them came from elsewhere"}, c.leaveIt())}
}

// hardStateOld is for promises that were forgotten. A new cluster does not need them.
func (c *checker) hardStateOld() verdict {
	v := c.togetherNot("it might vote again in a term in which it has voted")
	if c.alone() {
		v.next = c.recoverIt()
	}
	return v
}

func (c *checker) contradiction() verdict {
	return verdict{Unsafe, "it may start and break what it promised, or serve what is wrong",
		slices.Concat([]string{"do not start it; keep the directory"}, c.leaveIt())}
}
