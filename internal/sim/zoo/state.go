package zoo

import "github.com/quorumkv/quorumkv/internal/mutant"

// stateBugs are about what entries do to the store.
var stateBugs = []Bug{
	{
		Name: "duplicate-apply",
		What: "The dedupe window admits everything: a command forwarded or proposed twice is executed twice, and a unique " +
			"key has a second version.",
		Edits: []mutant.Edit{{
			File: "storage/apply/machine.go",
			Old: `	if !w.admit(c.ID.Epoch, c.ID.Counter) {
		return Response{}, ErrDuplicate
	}
`,
			New: `	w.admit(c.ID.Epoch, c.ID.Counter)
`,
		}},
	},
	{
		Name: "applied-index-outside-transaction",
		What: "The applied index is committed when entries are applied, their data with the next flush: a crash between " +
			"skips entries (etcd #13766), and histories differ or an acknowledged write is missing.",
		Edits: []mutant.Edit{{
			File: "storage/apply/machine.go",
			Old: `	m.publish()
	out := Outcome{`,
			New: `	if m.sealed == m.durable {
		m.hash = m.history.sum
		var early backend.Batch
		m.save(&early)
		if err := m.db.Commit(&early); err != nil {
			return Outcome{}, err
		}
		m.saved()
	}
	m.publish()
	out := Outcome{`,
		}},
	},
	{
		Name: "replay-applies-twice",
		What: "Physical compaction commits what is pending without the applied index, as etcd's defragmentation did (etcd " +
			"#14685): after a crash entries are applied to a store that has them already, and histories differ.",
		Edits: []mutant.Edit{{
			File: "storage/apply/machine.go",
			Old:  "	return m.kv.CompactStep(compactKeys)\n",
			New: `	done = m.kv.CompactStep(compactKeys)
	if m.kv.FreshOps() > 0 && m.sealed == m.durable {
		var early backend.Batch
		m.kv.Seal().AddTo(&early)
		if m.err = m.db.Commit(&early); m.err == nil {
			m.kv.Flushed()
		}
	}
	return done
`,
		}},
	},
	{
		Name: "fresh-let-go",
		What: "When a flush ends, memory lets go of all that is not in the file, not of what was sealed: changes made meanwhile " +
			"never get there, and a read misses a write that was acknowledged.",
		Edits: []mutant.Edit{{
			File: "storage/mvcc/flush.go",
			Old:  "	s.flushed = s.sealed\n",
			New:  "	s.sealed, s.freshBytes = len(s.overlay), 0\n	s.flushed = s.sealed\n",
		}},
	},
	{
		Name: "windows-taken-for-stored",
		What: "A flush that finds no space forgets that it took the dedupe windows along: the next does not write them, and " +
			"after a restart the state is another than its index says.",
		Edits: []mutant.Edit{{
			File: "storage/apply/state.go",
			Old:  "	for _, w := range s.taken.windows {\n		w.dirty = true\n	}\n",
			New:  "",
		}},
		Test: &mutant.Test{Package: "storage/apply", Run: "TestFlushHoldsWhatWasSealed"},
	},
	{
		Name: "map-order",
		What: "The commands of an entry are grouped by member in a map before they are executed: replicas execute them " +
			"in different orders, and their history hashes differ at the same index.",
		Edits: []mutant.Edit{{
			File: "storage/apply/machine.go",
			Old: `		for i := range m.commands {
			if results, err = m.applyCommand(&m.commands[i], e.GetTerm(), self, results); err != nil {
				return nil, err
			}
		}
`,
			New: `		byMember := map[uint64][]*Command{}
		for i := range m.commands {
			c := &m.commands[i]
			byMember[c.ID.Member] = append(byMember[c.ID.Member], c)
		}
		for _, group := range byMember {
			for _, c := range group {
				if results, err = m.applyCommand(c, e.GetTerm(), self, results); err != nil {
					return nil, err
				}
			}
		}
`,
		}},
	},
	{
		Name: "unread-range-unchecked",
		What: "A member that no client waits on skips the ranges of a transaction, and with them the error of a compacted or " +
			"future revision (etcd #18667): it writes what the others refuse, and histories differ.",
		Edits: []mutant.Edit{{
			File: "storage/apply/txn.go",
			Old:  "	if err := check(w, m.leases, &b); err != nil {\n",
			New:  "	if err := check(w, m.leases, &b); err != nil && (want || err != mvcc.ErrCompacted && err != mvcc.ErrFutureRevision) {\n",
		}},
	},
	{
		Name: "revision-from-surviving-keys",
		What: "The current revision is not stored but derived at a start, from the newest pair that is left (etcd #17780): if " +
			"the last changes were deletions, revisions go back and are given out twice.",
		Edits: []mutant.Edit{{
			File: "storage/mvcc/restore.go",
			Old:  "	bury()\n	if rows != s.rows {",
			New: `	bury()
	s.revision = max(firstRevision, s.compact)
	s.index.ascendLive(span{unbounded: true}, func(e entry) bool {
		s.revision = max(s.revision, e.it.newest.main)
		return true
	})
	if rows != s.rows {`,
		}},
	},
	{
		Name: "index-without-first-deletion",
		What: "The index that a start builds leaves out deletions with nothing before them (etcd #19179): they are never " +
			"removed, and the size of the store, by which space is refused, differs from the others'.",
		Edits: []mutant.Edit{{
			File: "storage/mvcc/restore.go",
			Old:  "		if rev.Main != last.Main {\n			bury()\n		}\n",
			New: `		if rev.Main != last.Main {
			bury()
		}
		if tombstone && s.index.get(alias(kv.Key)).it == nil {
			last = rev
			rows++
			continue
		}
`,
		}},
	},
	{
		Name: "compacted-in-older-views",
		What: "A compaction takes rows out of the index of views that were taken before it: their readers miss pairs, and are " +
			"not told that they were overtaken.",
		Edits: []mutant.Edit{{
			File: "storage/mvcc/tree.go",
			Old:  "		n.children[i] = t.own(n.children[i])\n		n = n.children[i]\n",
			New:  "		n = n.children[i]\n",
		}, {
			File: "storage/mvcc/tree.go",
			Old:  "	t.root = t.own(t.root)\n	for n := t.root; ; {",
			New:  "	for n := t.root; ; {",
		}},
		Test: &mutant.Test{Package: "storage/mvcc", Run: "TestTree"},
	},
	{
		Name: "overlay-overlaps-file",
		What: "Old history is read from the file beyond the revision at which the one in memory begins (etcd #17247): " +
			"watchers get the events of the overlap twice.",
		Edits: []mutant.Edit{{
			File: "storage/mvcc/events.go",
			Old:  "	_, err := v.scan(expected, v.base, func(",
			New:  "	_, err := v.scan(expected, v.revision, func(",
		}, {
			File: "storage/mvcc/events.go",
			Old:  "	case len(events) == 0 || expected.Main != v.base:\n",
			New:  "	case len(events) > 0 && expected.Main >= v.base:\n		return append(events, v.recentEvents(v.base+1, atMost)...), nil\n	case len(events) == 0:\n",
		}},
	},
	{
		Name: "compaction-takes-deletion",
		What: "A compaction removes also the deletion at its own revision (etcd #18089): a watch from there misses it.",
		Edits: []mutant.Edit{{
			File: "storage/mvcc/txn.go",
			Old:  "		s.garbage.push(s.revision+1, d.key, d.size)\n",
			New:  "		s.garbage.push(s.revision, d.key, d.size)\n",
		}, {
			File: "storage/mvcc/restore.go",
			Old:  "			s.garbage.push(last.Main+1, d.key, d.size)\n",
			New:  "			s.garbage.push(last.Main, d.key, d.size)\n",
		}},
	},
	{
		Name: "divergence-unnoticed",
		What: "A node whose history is not the majority's goes on, as an etcd does without its corruption check: it serves " +
			"what is wrong for ever.",
		Edits: []mutant.Edit{{
			File: "storage/apply/check.go",
			Old:  "		if next.Diverged() {",
			New:  "		if false {",
		}},
	},
	{
		Name: "verdict-by-one-word",
		What: "The first report of a check is the verdict: when it is that of the node which has diverged, all the others " +
			"take themselves for wrong.",
		Edits: []mutant.Edit{{
			File: "storage/apply/check.go",
			Old:  "next.count(voters, r.Hash) > len(voters)/2 {",
			New:  "next.count(voters, r.Hash) > 0 {",
		}},
	},
	{
		Name: "rebuilt-from-anybody",
		What: "A node that has diverged takes its new state from whoever is next, not from a member that agrees with the " +
			"majority: one that has diverged as well.",
		Edits: []mutant.Edit{{
			File: "raftnode/fetch.go",
			Old:  "return v == n.self.Member || n.lost.sources != nil && !slices.Contains(n.lost.sources, v)",
			New:  "return v == n.self.Member",
		}},
	},
	{
		Name: "noted-hash-forgotten",
		What: "What a replica noted at a check is not in its file: after a restart it reports something else, and a sound " +
			"node takes itself for wrong.",
		Edits: []mutant.Edit{{
			File: "storage/apply/check.go",
			Old:  "	b = binary.LittleEndian.AppendUint64(b, c.Hash)\n",
			New:  "	b = binary.LittleEndian.AppendUint64(b, 0)\n",
		}},
	},
}
