package fault

import (
	"errors"
	"fmt"
	"time"
)

const (
	// MinTTL and MaxTTL bound how long rules may hold without being set again.
	MinTTL = time.Second
	MaxTTL = time.Hour
	// MaxDelay bounds the delay and the jitter of a link. The ping between members gives up after 3 s: delays that add up
	// to more break the connection, as they would in a real network.
	MaxDelay = 10 * time.Second
	// MaxWall bounds the error of the wall clock, either way.
	MaxWall = 366 * 24 * time.Hour
	// maxLinks bounds the rules that every message is compared with.
	maxLinks = 256
)

// CheckTTL says what is wrong with the time that rules shall hold.
func CheckTTL(ttl time.Duration) error {
	if ttl < MinTTL || ttl > MaxTTL {
		return fmt.Errorf("ttl %v must be between %v and %v: set the rules again before they end to keep them longer",
			ttl, MinTTL, MaxTTL)
	}
	return nil
}

// Validate says what is wrong with the rules, or nil. peer says whether a member id is that of a peer of the member that
// the rules are for.
func (r Rules) Validate(peer func(id uint64) error) error {
	if len(r.Links) > maxLinks {
		return fmt.Errorf("%d link rules: at most %d", len(r.Links), maxLinks)
	}
	for i, l := range r.Links {
		if err := l.validate(peer); err != nil {
			return fmt.Errorf("link rule %d: %w", i+1, err)
		}
	}
	if r.Disk < DiskWell || r.Disk > DiskFull {
		return fmt.Errorf("disk fault %d is not known: it is one of %d (well), %d (stall), %d (fail), %d (full)",
			r.Disk, DiskWell, DiskStall, DiskFail, DiskFull)
	}
	if r.Wall < -MaxWall || r.Wall > MaxWall {
		return fmt.Errorf("wall clock off by %v: at most %v either way", r.Wall, MaxWall)
	}
	return nil
}

func (l Link) validate(peer func(id uint64) error) error {
	for _, p := range []struct {
		name  string
		value float64
	}{{"drop", l.Drop}, {"duplicate", l.Duplicate}} {
		if !(p.value >= 0 && p.value <= 1) { // not a number is neither
			return fmt.Errorf("%s %v must be a probability, 0 to 1", p.name, p.value)
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"delay", l.Delay}, {"jitter", l.Jitter}} {
		if d.value < 0 || d.value > MaxDelay {
			return fmt.Errorf("%s %v must be between 0s and %v", d.name, d.value, MaxDelay)
		}
	}
	if l.harms() && !l.In && !l.Out {
		return errors.New("it concerns neither direction: set in, out or both")
	}
	if l.Peer != 0 {
		return peer(l.Peer)
	}
	return nil
}
