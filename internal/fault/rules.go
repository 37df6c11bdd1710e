// Package fault makes a running member meet faults on purpose: messages to and from its peers that are lost, late or
// doubled, a log whose disk hangs, fails or is full, a wall clock that is wrong. Drills set the rules, through a call that
// the member serves only when it was started for that.
//
// Invariants: without rules nothing costs more than loading a pointer; rules end by themselves at their deadline,
// whatever became of who set them.
package fault

import "time"

// Rules are the faults of one member. The zero value is none.
type Rules struct {
	Links []Link
	Disk  Disk
	// Wall is added to the wall clock.
	Wall time.Duration
}

// Link is what happens to messages of one direction of the traffic with one peer, or with all.
type Link struct {
	Peer uint64 // 0: every peer
	// In and Out are the directions that are concerned, as the member sees them.
	In, Out bool
	// Drop and Duplicate are probabilities, 0 to 1.
	Drop, Duplicate float64
	// A message is late by Delay and a random part of Jitter. Messages of a link keep their order unless Jitter is set.
	Delay, Jitter time.Duration
}

// Disk is what the member's log meets.
type Disk int

const (
	DiskWell  Disk = iota
	DiskStall      // writes do not return until the rule is gone
	DiskFail       // syncs fail with EIO
	DiskFull       // no space is left: no file can be made or grow
)
