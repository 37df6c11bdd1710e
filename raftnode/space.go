package raftnode

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/datadir"
)

// A disk that is nearly full costs the cluster its growth, and nobody a process:
//
//   - Every node looks once a second at how much space is left. When that is less than two ballasts it raises the alarm
//     NOSPACE for itself, by a command in the log; when it is three again it clears it. The leader clears those of members
//     that are gone.
//   - While such an alarm is raised, requests that add to the store are refused before they are proposed. What is in the
//     log is executed, on every node alike: no replica ever decides by its own disk.
//   - The ballast is a file that holds nothing but space. When a write to the log or the state finds none, the ballast goes
//     and the write is tried again.
//   - A write to the log that still finds no space waits, and is tried again every second: nothing of it is written
//     yet, nothing acknowledged. To the watchdog (stall.go) that is a disk that hangs. A commit of the state waits likewise
//     while the log holds what it would have made durable.
//
// Free space is counted in ballasts because what a node needs to get out of the corner grows with its volume, as the
// ballast does.

const ballastName = datadir.Ballast

const (
	spaceInterval = time.Second // between two looks, and between two tries to write
	alarmPatience = 5           // election timeouts without word from a member until its alarm is cleared

	// In ballasts: when the alarm is raised, when it is cleared, and what must be free for a ballast to be made: with it,
	// enough is left for no alarm.
	alarmBelow, clearAt, ballastFrom = 2, 3, 4

	// The ballast is a fiftieth of the volume within bounds, but never more than a sixteenth: a volume of 200 MB has to
	// hold two log segments, too.
	ballastFraction, maxBallastFraction = 50, 16
	minBallast, maxBallast              = 64 << 20, 1 << 30
)

// space is the loop's knowledge of the volume that the data directory is on.
type space struct {
	ballast   uint64        // bytes; 0: nobody looks, unless a write found no space
	asking    bool          // a look is on the snap lane
	asked     time.Duration // when it was sent there
	tried     time.Duration // when a write to the log that found no space was tried again
	low       bool          // there is too little
	free      uint64        // at the last look
	failing   bool          // the last look came to nothing
	proposing bool          // the raising or clearing of an alarm is on its way
}

// openSpace decides on the ballast's size. One of another size, or that is not wanted any more, goes.
func (n *Node) openSpace() error {
	s := &n.space
	if n.cfg.BallastBytes < 0 {
		return removeBallast(n.env.FS)
	}
	s.ballast = uint64(n.cfg.BallastBytes)
	if s.ballast == 0 {
		volume, err := n.env.FS.Capacity("")
		if err != nil {
			return fmt.Errorf("ask for the size of the volume: %w", err)
		}
		s.ballast = ballastFor(volume)
	}
	file, err := n.env.FS.Open(ballastName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the ballast: %w", err)
	}
	size, err := file.Size()
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("look for the ballast: %w", err)
	}
	if uint64(size) != s.ballast {
		return removeBallast(n.env.FS)
	}
	return nil
}

func ballastFor(volume uint64) uint64 {
	return max(1, min(max(volume/ballastFraction, minBallast), maxBallast, volume/maxBallastFraction))
}

func removeBallast(f env.FS) error {
	if err := f.Remove(ballastName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("release the ballast: %w", err)
	}
	return nil
}

// retrying does work that may find the disk full, and once more if there is a ballast to release.
func retrying(f env.FS, work func() error) error {
	err := work()
	if errors.Is(err, env.ErrNoSpace) && f.Remove(ballastName) == nil {
		err = work()
	}
	return err
}

// tickSpace looks at the volume when it is time, and tries again what found no space there. The one does not wait for the
// other: a look may be behind a snapshot that is being copied.
func (n *Node) tickSpace(now time.Duration) {
	s := &n.space
	if n.appends.blocked != nil && n.stall.jobs == 0 && now-s.tried >= spaceInterval {
		s.tried = now
		n.appends.blocked()
	}
	if s.ballast == 0 && !s.low && !n.alarmed() || s.asking || s.asked != 0 && now-s.asked < spaceInterval {
		return
	}
	s.asking, s.asked = true, now
	var free uint64
	var reserveErr error
	n.snapLane.Do(func() (err error) {
		free, err = n.env.FS.Free("")
		if err == nil && s.ballast > 0 && free >= ballastFrom*s.ballast {
			reserveErr = n.env.FS.Reserve(ballastName, int64(s.ballast))
		}
		return err
	}, func(err error) {
		s.asking = false
		if n.stopped {
			return
		}
		if err == nil {
			n.spaceLeft(free)
		}
		err = firstError(err, reserveErr)
		if err != nil && !s.failing {
			n.logger.Warn("disk space not known, or not to be reserved", "error", err)
		}
		s.failing = err != nil
	})
}

// spaceLeft takes what a look has found.
func (n *Node) spaceLeft(free uint64) {
	s := &n.space
	s.free = free
	switch {
	case free < alarmBelow*s.ballast:
		n.runLow()
	case s.low && free >= clearAt*s.ballast && n.appends.blocked == nil && !n.flush.noSpace:
		s.low = false
		n.logger.Warn("disk has space again", "free-bytes", free)
	}
	n.followAlarm()
}

// runLow notes that there is too little space.
func (n *Node) runLow() {
	s := &n.space
	if s.low {
		return
	}
	s.low = true
	n.logger.Warn("disk is nearly full: free space on it; writes are refused until then", "free-bytes", s.free,
		"wanted-bytes", clearAt*s.ballast)
}

// followAlarm sees to it that this node's alarm says what the node knows, whoever raised or cleared it.
func (n *Node) followAlarm() {
	s := &n.space
	if n.raw == nil || s.proposing || n.applied < n.caughtUp {
		return
	}
	switch raised := n.alarmed(); {
	case s.low && !raised:
		n.proposeAlarm(n.ownAlarm(), pb.AlarmRequest_ACTIVATE)
	case !s.low && raised:
		n.proposeAlarm(n.ownAlarm(), pb.AlarmRequest_DEACTIVATE)
	}
}

func (n *Node) ownAlarm() apply.Alarm {
	return apply.Alarm{Member: n.self.Member, Type: pb.AlarmType_NOSPACE}
}

// alarmed tells whether this node's alarm is raised, perhaps since an earlier life.
func (n *Node) alarmed() bool { return n.view != nil && n.view.HasAlarm(n.ownAlarm()) }

func (n *Node) proposeAlarm(a apply.Alarm, action pb.AlarmRequest_AlarmAction) {
	s := &n.space
	request, err := proto.Marshal(&pb.InternalRaftRequest{
		Alarm: &pb.AlarmRequest{Action: action, MemberID: a.Member, Alarm: a.Type},
	})
	if err != nil {
		panic("encode an alarm: " + err.Error())
	}
	s.proposing = true
	n.Propose(&Proposal{Request: request, Done: func(_ apply.Response, err error) {
		s.proposing = false
		if err != nil && !n.stopped {
			n.logger.Warn("alarm not changed yet", "action", action, "error", err)
		}
	}})
}

// forgetAlarms clears, on the leader, the alarm of a member that has not been heard for long: it is gone, cannot clear it,
// and must not keep the others from writing. When it is back and its disk still full it raises it again. An alarm of
// nobody's, under an id that no member has, was raised by hand and stays.
func (n *Node) forgetAlarms(now time.Duration) {
	if !n.leads() || n.space.proposing || n.view == nil {
		return
	}
	for _, a := range n.view.AlarmsOf(pb.AlarmType_NOSPACE) {
		heard := max(n.heard[a.Member], n.stats.leaderSince)
		member := slices.ContainsFunc(n.view.Members, func(m apply.Member) bool { return m.ID == a.Member })
		if member && a.Member != n.self.Member && now-heard > alarmPatience*n.cfg.electionTimeout() {
			n.logger.Warn("alarm cleared of a member that is not heard any more", "member-id", hex(a.Member))
			n.proposeAlarm(a, pb.AlarmRequest_DEACTIVATE)
			return
		}
	}
}

// refusesGrowth tells whether a request must not be proposed for want of space: the log says so, or this node's own disk,
// which is ahead of what it has told the others.
func (n *Node) refusesGrowth(request []byte) bool {
	if !n.space.low && (n.view == nil || !n.view.NoSpace()) {
		return false
	}
	r := &pb.InternalRaftRequest{}
	return proto.Unmarshal(request, r) == nil && apply.Grows(r)
}

// waitForSpace keeps a write to the log that found none, to try it again.
func (n *Node) waitForSpace(again func()) {
	if n.appends.blocked == nil {
		n.logger.Warn("disk is full: the log waits for space")
	}
	n.appends.blocked, n.space.tried = again, n.env.Clock.Now()
	n.runLow()
}
