package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/quorumkv/quorumkv/storage/recovery"
)

// planText is the text of `recover --plan`.
type planText struct {
	run recoverRun
	recovery.Plan
}

func (t planText) write(w io.Writer) {
	fmt.Fprintf(w, "Plan: a new cluster of one member from %s, member %s (%s) of cluster %s. Nothing is done yet.\n",
		t.run.dir, t.Member.ID, t.Member.Name, t.ClusterID)
	fmt.Fprintf(w, "\nKept\n")
	fmt.Fprintf(w, "  everything up to index %d of term %d\n", t.Index, t.Term)
	fmt.Fprintf(w, "  revision %d, %s: %s with their history; %s, counting anew\n",
		t.Revision, compacted(t.CompactRevision), counted(t.Keys, "key"), counted(t.Leases, "lease"))
	if t.Index > t.Applied {
		fmt.Fprintf(w, "  of that, %s from the log, the rest from the state file\n", indexes(t.Applied+1, t.Index))
	}
	if u := t.Uncertain; u != nil {
		fmt.Fprintf(w, "  not known to be committed here, and kept all the same: %s. Writes in them that were never\n"+
			"  acknowledged may take effect, as after a request that timed out\n", indexes(u.First, u.Last))
	}
	t.writeLoss(w)
	fmt.Fprintf(w, "\nTo do it: quorumctl recover %s --accept-loss %s --to %s\n", t.run.dir, t.Token, t.run.to)
}

func (t planText) writeLoss(w io.Writer) {
	fmt.Fprintf(w, "\nLost\n")
	for _, m := range t.Dropped {
		fmt.Fprintf(w, "  member %s (%s) at %s is no member any more\n", m.ID, m.Name, strings.Join(m.PeerURLs, ","))
	}
	if d := t.Damaged; d != nil {
		follows := ""
		if d.Last > 0 {
			follows = " and what follows"
		}
		fmt.Fprintf(w, "  %s%s: %s\n", indexes(d.First, d.Last), follows, t.Reason)
	}
	if t.CutOff != "" {
		fmt.Fprintf(w, "  the write that the log ends in, which is damaged: %s.\n  If the member was killed or lost power then, it was "+
			"never acknowledged; if not, the disk has lost it\n", t.CutOff)
	}
	if len(t.Dropped) > 0 {
		fmt.Fprintf(w, "  what the others acknowledged beyond index %d, if they did: this folder cannot tell\n", t.Index)
	}
	if t.Alarms > 0 {
		fmt.Fprintf(w, "  %s, raised again if there is reason\n", counted(t.Alarms, "alarm"))
	}
	if len(t.Dropped) == 0 && t.Damaged == nil && t.CutOff == "" && t.Alarms == 0 {
		fmt.Fprintf(w, "  nothing\n")
	}
}

func (r recoverRun) writeDone(w io.Writer, p recovery.Plan, founded recovery.Founded) {
	fmt.Fprintf(w, "%s holds member %s of the new cluster %s, at revision %d.\n", r.to, founded.MemberID, founded.ClusterID,
		p.Revision)
	fmt.Fprintf(w, "Start it with the flags of %s, but without --initial-cluster:\n", p.Member.Name)
	fmt.Fprintf(w, "  quorumkv --name %s --data-dir %s ...\n", p.Member.Name, r.to)
	fmt.Fprintf(w, "%s is as it was. Start neither it nor any other member of the old cluster where clients find\n"+
		"them: they would serve old data. Clients that cache, or watch from a revision above %d, must read everything\n"+
		"anew.\n", r.dir, p.Revision)
}
