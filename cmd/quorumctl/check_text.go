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
	verdict := "is sound"
	if damages > 0 {
		verdict = "is damaged in " + counted(damages, "place")
	}
	fmt.Fprintf(w, "\n%s %s.\n", t.dir, verdict)
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
		held := indexes(l.First, l.Last)
		if l.Last < l.First {
			held = fmt.Sprintf("empty behind index %d", l.Last)
		}
		fmt.Fprintf(w, "log\t%s, last term %d, commit hint %d, %s, %d bytes\n", held,
			l.LastTerm, l.Commit, counted(l.Segments, "segment"), l.Bytes)
	}
	if s := t.State; s != nil {
		fmt.Fprintf(w, "state\tapplied index %d, term %d; revision %d, %s; %s, %s, %s, %s, %s\n", s.Index, s.Term, s.Revision,
			compacted(s.CompactRevision), counted(s.Keys, "key"), counted(s.Rows, "row"), counted(s.Leases, "lease"),
			counted(len(s.Members), "member"), counted(len(s.Alarms), "alarm"))
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
	if f.First != 0 || f.Last != 0 {
		s += ", " + indexes(f.First, f.Last)
	}
	return s
}

// indexes names a range of indexes; an end that is 0 is not known.
func indexes(first, last uint64) string {
	switch {
	case first == last:
		return fmt.Sprintf("index %d", first)
	case last == 0:
		return fmt.Sprintf("indexes from %d on", first)
	case first == 0:
		return fmt.Sprintf("indexes up to %d", last)
	}
	return fmt.Sprintf("indexes %d to %d", first, last)
}

// counted is a number of things.
func counted[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// compacted says where the history of the keys begins.
func compacted(revision int64) string {
	if revision < 0 {
		return "never compacted"
	}
	return fmt.Sprintf("compacted at %d", revision)
}
