// Package fault makes a running member meet faults on purpose: messages to and from its peers that are lost, late or
// doubled, a log whose disk hangs, fails or is full, a wall clock that is wrong. Drills set the rules, through a call that
// the member serves only when it was started for that.
//
// An [Injector] holds the rules of one member. The transport asks it about every message, and the node reaches time and
// disk through the Env that it wraps.
//
// Invariants: without rules nothing costs more than loading a pointer; rules end by themselves at their deadline,
// whatever became of who set them; what is held back for a while is bounded.
//
// The package starts no goroutine that stays: timers end the rules and release messages that are late, and
// [Injector.Close] stops them all.
package fault

import (
	"slices"
	"time"
)

// Rules are the faults of one member. The zero value is none.
type Rules struct {
	Links []Link
	Disk  Disk
	// Wall is added to the wall clock.
	Wall time.Duration
}

// Link is what happens to messages of one direction of the traffic with one peer, or with all. When several rules concern
// the same message, it meets all of them.
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

// Empty reports whether the rules are without a fault.
func (r Rules) Empty() bool {
	return r.Disk == DiskWell && r.Wall == 0 && !slices.ContainsFunc(r.Links, Link.harms)
}

// harms reports whether the rule does anything to a message.
func (l Link) harms() bool { return l.Drop != 0 || l.Duplicate != 0 || l.Delay != 0 || l.Jitter != 0 }

// concerns reports whether the rule is about messages of that direction of the traffic with a peer.
func (l Link) concerns(peer uint64, d Direction) bool {
	return (l.Peer == 0 || l.Peer == peer) && (d == In && l.In || d == Out && l.Out)
}

// Direction is where a message goes, as the member sees it.
type Direction int

const (
	In Direction = iota
	Out
)

// link merges all that the rules say about one direction of the traffic with a peer.
func (r Rules) link(peer uint64, d Direction) (sum Link) {
	for _, l := range r.Links {
		if l.concerns(peer, d) {
			sum.Drop = either(sum.Drop, l.Drop)
			sum.Duplicate = either(sum.Duplicate, l.Duplicate)
			sum.Delay += l.Delay
			sum.Jitter += l.Jitter
		}
	}
	return sum
}

// either is the probability that at least one of two independent things happens. It is exactly 1 when one of them is
// certain.
func either(p, q float64) float64 { return p + q*(1-p) }

// cut reports whether nothing passes.
func (l Link) cut() bool { return l.Drop >= 1 }
