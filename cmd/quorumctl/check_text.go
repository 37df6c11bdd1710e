package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	datacheck "github.com/quorumkv/quorumkv/storage/check"
)

// checkText is the text of `check files`.
type checkText struct {
	dir string
	datacheck.Report
}

func (t checkText) write(w io.Writer) {
	t.writeParts(w)
	for _, f := range t.Findings {
		fmt.Fprintf(w, "\n%s: %s%s\n", strings.ToUpper(string(f.Start)), f.File, where(f))
		fmt.Fprintf(w, "  %s\n", f.What)
		if f.Then != "" {
			fmt.Fprintf(w, "  at the next start: %s\n", f.Then)
		}
		for _, next := range f.Next {
			fmt.Fprintf(w, "  next: %s\n", next)
		}
	}
	damages := 0
	for _, f := range t.Findings {
		if f.Start != datacheck.Note {
			damages++
		}
	}
	switch damages {
	case 0:
		fmt.Fprintf(w, "\n%s is sound.\n", t.dir)
	case 1:
		fmt.Fprintf(w, "\n%s has 1 damage.\n", t.dir)
	default:
		fmt.Fprintf(w, "\n%s has %d damages.\n", t.dir, damages)
	}
}

// writeParts prints a line for each part that could be read.
func (t checkText) writeParts(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	if id := t.Identity; id != nil {
		fmt.Fprintf(w, "identity\tmember %s of cluster %s\n", id.MemberID, id.ClusterID)
	}
	if h := t.HardState; h != nil {
		fmt.Fprintf(w, "hard state\tterm %d, vote for %s, boot %d\n", h.Term, h.Vote, h.BootEpoch)
	}
	if l := t.Log; l != nil {
		fmt.Fprintf(w, "log\tindexes %d to %d, last term %d, commit hint %d, %d segments, %d bytes\n", l.First, l.Last,
			l.LastTerm, l.Commit, l.Segments, l.Bytes)
	}
	if s := t.State; s != nil {
		fmt.Fprintf(w, "state\tapplied index %d, term %d; revision %d, compacted at %d; %d keys, %d rows, %d leases, %d members, "+
			"%d alarms\n", s.Index, s.Term, s.Revision, s.CompactRevision, s.Keys, s.Rows, s.Leases, len(s.Members), len(s.Alarms))
		for _, m := range s.Members {
			fmt.Fprintf(w, "member\t%s %s %s\n", m.ID, m.Name, strings.Join(m.PeerURLs, ","))
		}
		for _, alarm := range s.Alarms {
			fmt.Fprintf(w, "alarm\t%s\n", alarm)
		}
	}
	for _, s := range t.Snapshots {
		fmt.Fprintf(w, "snapshot\tindex %d, term %d, %d bytes\n", s.Index, s.Term, s.Bytes)
	}
}

// where is the place of a finding behind its file's name.
func where(f datacheck.Finding) string {
	var s string
	if f.Offset != nil {
		s += fmt.Sprintf(", offset %d", *f.Offset)
	}
	switch {
	case f.First == 0 && f.Last == 0:
	case f.First == f.Last:
		s += fmt.Sprintf(", index %d", f.First)
	case f.Last == 0:
		s += fmt.Sprintf(", indexes from %d on", f.First)
	case f.First == 0:
		s += fmt.Sprintf(", indexes up to %d", f.Last)
	default:
		s += fmt.Sprintf(", indexes %d to %d", f.First, f.Last)
	}
	return s
}
