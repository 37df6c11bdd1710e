package check

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

const (
	// maxRows is how many damaged rows are named one by one.
	maxRows = 20
	// sliceBytes is how much is read between two signs of progress.
	sliceBytes = 64 << 10
)

// state reads the state file: pages first, because rotten ones may take whoever reads on with them.
func (c *checker) state() {
	v, err := backend.Inspect(c.fs, datadir.State)
	file := v.File
	if file == "" {
		file = datadir.State + "/CURRENT"
	}
	spoiled := func(what string, args ...any) {
		if c.stateBad == nil {
			c.stateBad = &Finding{Part: "state", File: file, What: fmt.Sprintf(what, args...)}
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		spoiled("there is no state")
		return
	case err != nil:
		spoiled("%v", err)
		return
	}
	for _, name := range v.Leftovers {
		c.note(Finding{Part: "state", File: name, What: "the generation is not in use; the next start removes it"})
	}
	switch {
	case v.Attempts > 1 && c.alone():
		c.note(Finding{Part: "state", File: file, What: "two starts in a row died while they opened the file; the next one tries " +
			"again all the same, as nobody else has a state"})
	case v.Attempts > 1:
		spoiled("two starts in a row died while they opened it")
	case v.Attempts == 1:
		c.note(Finding{Part: "state", File: file, What: "the last start died while it opened the file; once may be chance"})
	}
	if c.o.Pages != nil {
		problems, err := c.o.Pages(c.fs.MapPath(file))
		if err != nil {
			spoiled("bbolt's check of its pages came to no end: %v", err)
			return
		}
		if len(problems) > 0 {
			spoiled("bbolt finds %d faults in its pages, the first: %s", len(problems), problems[0])
			return
		}
	}
	db, err := backend.OpenReadOnly(c.fs, datadir.State)
	if err != nil {
		spoiled("%v", err)
		return
	}
	if err := c.content(db, v); err != nil {
		spoiled("%v", err)
	}
	if err := db.Close(); err != nil {
		spoiled("%v", err)
	}
}

// content reads what the state file holds. The error is the damage.
func (c *checker) content(db *backend.DB, v backend.Inventory) error {
	var bad []error
	damaged, rows, read := 0, int64(0), int64(0)
	rest := mvcc.NewVerifier(db)
	var err error
	for done := false; !done && err == nil; {
		var slice mvcc.Slice
		slice, done, err = rest.Next(sliceBytes, func(err error) {
			if damaged++; damaged <= maxRows {
				bad = append(bad, err)
			}
		})
		rows += int64(slice.Rows)
		read += slice.Bytes
		c.read(slice.Bytes)
	}
	c.read(max(0, v.Bytes-read)) // free pages, and what bbolt needs to find its way
	if damaged > 0 {
		return fmt.Errorf("%d of %d rows are damaged: %w", damaged, rows, errors.Join(append(bad, err)...))
	}
	if err != nil {
		return fmt.Errorf("read rows: %w", err)
	}
	s, err := apply.Inspect(db)
	if err != nil {
		return err
	}
	m, err := apply.Open(db, s.ClusterID, mvcc.Recent{Rows: -1})
	if err != nil {
		return err
	}
	view := m.View()
	state := State{
		File: v.File, Bytes: v.Bytes, Index: s.Index, Term: s.Term,
		Revision: view.KV.Revision(), CompactRevision: view.KV.CompactRevision(), Keys: view.KV.Keys(), Rows: rows,
		Leases: s.Leases, Members: []Member{}, Alarms: []string{},
	}
	for _, one := range s.Members {
		state.Members = append(state.Members, Member{hexID(one.ID), one.Name, one.PeerURLs})
	}
	for _, a := range view.Alarms {
		state.Alarms = append(state.Alarms, fmt.Sprintf("%s of member %s", a.Type, hexID(a.Member)))
	}
	c.report.State = &state
	if c.id != nil && s.ClusterID != c.id.ClusterID {
		c.damage(Finding{Part: "state", File: v.File, What: fmt.Sprintf("it belongs to cluster %s, the identity to cluster %s",
			hexID(s.ClusterID), hexID(c.id.ClusterID))}, c.togetherNot("the state is another cluster's"))
		return nil
	}
	c.applied = applied{index: s.Index, term: s.Term, members: s.Members, ok: true}
	return nil
}

// judgeState reports the damage to the state, once it is known what the log has.
func (c *checker) judgeState() {
	if c.stateBad != nil {
		c.damage(*c.stateBad, c.stateLost())
	}
}
