package raftnode

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// histories is this node's part in the comparison of the members' histories (storage/apply/check.go). The leader has them
// compared now and then, by an entry, if anything was applied since the last time. Every member then reports what it noted
// there, and applies what the others report. One whose history is not the majority's hears of it from its own state
// machine: to the node that is a damaged state like any other (stateloss.go), but for two things. The new one comes from a
// member that agrees with the majority, and what was copied of the old one is not given to anybody.
//
// The log of such a node is good: what differs is what it made of it. A disk or a memory that lies without failing a
// checksum is one cause, a mistake in the software another. Against the latter a new state may be of no use for long, so
// that there is at most one in the time between two checks.
type histories struct {
	seen *apply.Check  // the newest, as of the last look
	at   time.Duration // when it was new, or the node started
	// asking says that a check or a report of this node's is on its way.
	asking bool
	// dispute says how members differ, while no majority tells which of them is right; "" if they do not.
	dispute  string
	hopeless bool // that nobody can tell any more was said
	// verdict is the newest check that was decided, so that a state that contradicts it is not taken. It outlives this
	// node's own state.
	verdict *apply.Check
	rebuilt time.Duration // when a state that had diverged was last replaced; 0: not yet
}

// tickHistories looks at what was applied, and asks or reports.
func (n *Node) tickHistories(now time.Duration) {
	h := &n.histories
	if n.raw == nil || n.view == nil || n.lost.reason != "" {
		return
	}
	c := n.view.Check
	n.followCheck(c, now)
	if h.asking || n.applied < n.caughtUp {
		return
	}
	switch {
	case n.owesReport(c):
		n.proposeCompare(apply.ReportRequest(c.Index, c.Hash))
	case n.leads() && n.checkDue(c, now):
		n.proposeCompare(apply.CheckRequest())
	}
}

// owesReport tells whether the others have not heard what this node noted: not at all, or not since its state was rebuilt.
func (n *Node) owesReport(c *apply.Check) bool {
	said, ok := c.Reported(n.self.Member)
	return c.Index > 0 && (!ok || c.Decided && said != c.Hash)
}

func (n *Node) checkDue(c *apply.Check, now time.Duration) bool {
	members := len(n.mem.conf.GetVoters()) + len(n.mem.conf.GetLearners())
	due := now-n.histories.at >= n.cfg.CheckInterval || n.applied-c.Index >= n.cfg.CheckEntries
	return members > 1 && c.Stirred && due
}

func (n *Node) proposeCompare(request []byte) {
	h := &n.histories
	h.asking = true
	n.Propose(&Proposal{Request: request, Done: func(_ apply.Response, err error) {
		h.asking = false
		if err != nil && !n.stopped {
			n.logger.Debug("histories not compared yet", "error", err)
		}
	}})
}

// followCheck says what came of a check.
func (n *Node) followCheck(c *apply.Check, now time.Duration) {
	h := &n.histories
	if c == h.seen {
		return
	}
	last := h.seen
	h.seen = c
	if c.Index != last.Index {
		if last.Index > 0 && !last.Decided && !h.hopeless {
			n.undecided(last, "too few members have reported before the next check")
		}
		h.at, h.hopeless = now, false
	}
	switch {
	case c.Decided && !(last.Decided && last.Index == c.Index):
		n.stats.HistoryChecks++
		h.verdict = c
		n.logger.Debug("histories compared", "check-index", c.Index, "hash", hash(c.Verdict), "reported-by", c.Agreeing())
	case !h.hopeless && c.Hopeless(n.mem.conf.GetVoters()):
		h.hopeless = true
		n.undecided(c, "no hash has a majority")
	}
	h.dispute = ""
	if c.Disputed() {
		h.dispute = fmt.Sprintf("members differ in their history, and no majority says which is right: %s", c)
	}
}

func (n *Node) undecided(c *apply.Check, why string) {
	n.stats.HistoryChecksUndecided++
	n.logger.Error("comparison of histories came to no verdict: "+why, "check-index", c.Index, "own-hash", hash(c.Hash),
		"reports", c.String())
}

// diverged notes that the state that is lost had a history of its own.
func (n *Node) diverged(c *apply.Check) {
	n.stats.HistoriesDiverged++
	n.histories.verdict = c
	n.lost.check = c.Index
	n.lost.sources = slices.DeleteFunc(c.Agreeing(), func(id uint64) bool { return id == n.self.Member })
	n.logger.Error("history differs from the majority's: the state will be made anew from a member's that agrees",
		"check-index", c.Index, "own-hash", hash(c.Hash), "verdict", hash(c.Verdict), "reported-by", c.Agreeing())
	n.forgetSnapshot(n.snaps.file)
}

// resting tells whether a state that has diverged has to wait for its replacement, because the last one was not long ago.
func (n *Node) resting(now time.Duration) bool {
	h := &n.histories
	return n.lost.check > 0 && h.rebuilt > 0 && now-h.rebuilt < n.cfg.CheckInterval
}

// contradicts says what speaks against a state that a peer gave: it noted another hash than the majority did.
func (h *histories) contradicts(v *apply.View) error {
	if c, verdict := v.Check, h.verdict; c.Index == verdict.Index && c.Hash != verdict.Verdict {
		return fmt.Errorf("its history hash at index %d is %s, the majority has %s", c.Index, hash(c.Hash), hash(verdict.Verdict))
	}
	return nil
}

// divergence is what err says about a history that differs, nil if it says nothing of the kind.
func divergence(err error) *apply.Check {
	var d *apply.DivergedError
	if errors.As(err, &d) {
		return d.Check
	}
	return nil
}

func hash(h uint64) string { return fmt.Sprintf("%016x", h) }
