package zoo

import "github.com/quorumkv/quorumkv/internal/mutant"

// bugs is the zoo, in the order in which it is visited.
var bugs = []Bug{
	{
		Name: "ack-before-fsync",
		What: "Entries are acknowledged while they are in the page cache only: after a power loss an acknowledged write " +
			"is missing, or raft panics over a follower that forgot entries it had confirmed.",
		Edits: []mutant.Edit{{
			File: "raftnode/append.go",
			Old:  "Entries: w.entries, Commit: w.commit}, true)",
			New:  "Entries: w.entries, Commit: w.commit}, false)",
		}},
	},
	{
		Name: "vote-not-stored",
		What: "A vote does not survive a crash, the term does: a node votes twice in a term, and two nodes lead in it.",
		Edits: []mutant.Edit{{
			File: "raftnode/append.go",
			Old:  "next := wal.HardState{Term: w.term, Vote: w.vote, BootEpoch: d.hard.BootEpoch}",
			New:  "next := wal.HardState{Term: w.term, BootEpoch: d.hard.BootEpoch}",
		}},
	},
	{
		Name: "skipped-syncdir-segment",
		What: "A new log segment's name is not synced: a power loss takes the whole segment and the acknowledged writes " +
			"in it.",
		Edits: []mutant.Edit{{
			File: "storage/wal/create.go",
			Old: `	if err := f.SyncDir(dir); err != nil {
		return fmt.Errorf("sync log directory: %w", err)
	}
	return nil
}

// blankFile`,
			New: `	return nil
}

// blankFile`,
		}},
	},
	{
		Name: "skipped-syncdir-current",
		What: "The name CURRENT is not synced: after a power loss it is missing or names a generation that was deleted, " +
			"and the node takes for damage what was only a crash.",
		Edits: []mutant.Edit{{
			File: "storage/backend/generation.go",
			Old: `	if err := g.fs.SyncDir(g.dir); err != nil {
		return fmt.Errorf("make %s current: %w", g, err)
	}
`,
			New: ``,
		}},
	},
	{
		Name: "skipped-syncdir-identity",
		What: "The names in the data directory are not synced when it is made: after a power loss the identity or the " +
			"hard state is missing, and the node does not start.",
		Edits: []mutant.Edit{
			{
				File: "storage/wal/file.go",
				Old: `	if err := f.SyncDir(root); err != nil {
		return fmt.Errorf("sync directory of %s: %w", name, err)
	}
`,
				New: ``,
			},
			{
				File: "raftnode/create.go",
				Old: `	if err == nil {
		err = f.SyncDir("")
	}
`,
				New: ``,
			},
		},
	},
	{
		Name: "commit-below-applied",
		What: "A start does not raise the stored commit index to the applied index: raft panics, or the node goes back.",
		Edits: []mutant.Edit{{
			File: "raftnode/install.go",
			Old:  "return min(max(hint, applied), last)",
			New:  "return min(hint, last)",
		}},
	},
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
			New: `	m.hash = m.history.sum
	var early backend.Batch
	m.save(&early)
	if err := m.db.Commit(&early); err != nil {
		return Outcome{}, err
	}
	m.publish()
	out := Outcome{`,
		}},
	},
	{
		Name: "stale-read-context",
		What: "A read index that is asked again keeps its context (etcd #20418): a late answer to the first attempt " +
			"confirms reads that joined since, and a read misses a write that was acknowledged before it began.",
		Edits: []mutant.Edit{
			{
				File: "raftnode/readindex.go",
				Old: `	q.counter++
	q.context = readContext(n.self, q.counter)
`,
				New: `	q.context = readContext(n.self, q.counter)
`,
			},
			{
				File: "raftnode/readindex.go",
				Old: `	reads := q.asked
	q.asked, q.context = nil, nil
`,
				New: `	reads := q.asked
	q.counter++
	q.asked, q.context = nil, nil
`,
			},
		},
	},
	{
		Name: "lease-based-read",
		What: "The leader answers reads without asking a quorum: a deposed one serves the past, and a read misses a write " +
			"that was acknowledged before it began.",
		Edits: []mutant.Edit{{
			File: "raftnode/boot.go",
			Old:  "raft.ReadOnlySafe",
			New:  "raft.ReadOnlyLeaseBased",
		}},
	},
	{
		Name: "apply-not-drained",
		What: "A snapshot replaces the state from another lane, without waiting for the applies that are queued: two jobs on " +
			"one state at a time. Where lanes never overlap it does no harm, since applies skip what a newer state has: it is " +
			"the owner of the file that tells.",
		Edits: []mutant.Edit{{
			File: "raftnode/install.go",
			Old: `	n.applyLane.Do(func() (err error) {
		if state, err = n.state.replace(`,
			New: `	n.snapLane.Do(func() (err error) {
		if state, err = n.state.replace(`,
		}},
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
		Name: "new-leader-read",
		What: "A leader that is alone in its cluster serves reads before it has applied an entry of its own term: after a " +
			"restart a read misses a write that was acknowledged before it began. This one was real.",
		Edits: []mutant.Edit{{
			File: "raftnode/readindex.go",
			Old:  "n.leader == 0 || n.newLeader() {",
			New:  "n.leader == 0 {",
		}},
	},
	{
		Name: "watch-lost-wakeup",
		What: "An event that arrives while a watcher's client is still reading is forgotten: the watcher waits for the next " +
			"one, and is told of progress beyond what it has seen.",
		Edits: []mutant.Edit{{
			File: "storage/watch/stream.go",
			Old:  "case d.Next <= revision || w.group.last >= d.Next:",
			New:  "case d.Next <= revision:",
		}},
	},
	{
		Name: "watch-rests-for-ever",
		What: "A stream that rests between rounds of events is not looked at when its rest is over: its watchers wait for the " +
			"next event.",
		Edits: []mutant.Edit{{
			File: "storage/watch/round.go",
			Old:  "			s.wake()\n",
			New:  "",
		}},
	},
	{
		Name: "watch-snapshot-gap",
		What: "A snapshot that replaces the state does not make idle watchers look at the revisions that came with it " +
			"(etcd #15271): events are missing.",
		Edits: []mutant.Edit{{
			File: "storage/watch/hub.go",
			Old:  "if w.state == idle && w.start <= v.Revision() {",
			New:  "if false {",
		}},
	},
	{
		Name: "progress-ahead-of-events",
		What: "A request for progress is answered past the event stream (etcd #15220): the client takes a revision for seen " +
			"whose events are still to come.",
		Edits: []mutant.Edit{{
			File: "storage/watch/work.go",
			Old:  "if w.Progress && w.complete {",
			New:  "if w.Progress {",
		}},
	},
	{
		Name: "watch-jumps-over-compaction",
		What: "A watcher whose next revision is compacted goes on at the compact revision instead of being canceled (etcd " +
			"#17529): events are missing.",
		Edits: []mutant.Edit{{
			File: "storage/watch/work.go",
			Old:  "\t\t\td.Compacted = v.CompactRevision()\n",
			New:  "\t\t\td.Next = v.CompactRevision()\n",
		}},
	},
	{
		Name: "lease-unconfirmed",
		What: "The leader confirms a renewal before a quorum knows of it: one that was cut off says yes, its successor has " +
			"never heard of it, and the lease expires before its time.",
		Edits: []mutant.Edit{{
			File: "raftnode/leaseround.go",
			Old:  "if quorum, _ := n.quorum(); len(r.acks) < quorum {",
			New:  "if quorum, _ := n.quorum(); len(r.acks) < min(quorum, 1) {",
		}},
	},
	{
		Name: "lease-own-table",
		What: "A new leader believes its own table instead of asking a quorum: renewals that it took no part in are lost, and " +
			"a lease expires before its time.",
		Edits: []mutant.Edit{{
			File: "raftnode/leasesurvey.go",
			Old:  "if 1+len(d.page.answers) < quorum {",
			New:  "if 1+len(d.page.answers) < min(quorum, 1) {",
		}},
	},
	{
		Name: "lease-tick-clock",
		What: "Deadlines are counted from the last tick, not from now: a lease expires up to a tick before its time.",
		Edits: []mutant.Edit{{
			File: "raftnode/lease.go",
			Old:  "return n.leases.clock.read(n.env.Clock.Now()) }",
			New:  "return n.leases.clock.now }",
		}},
	},
	{
		Name: "lease-old-state",
		What: "The leader says that there is no such lease before it has applied what the asker has: a lease is denied that " +
			"was granted, or confirmed under a revision at which its keys were gone.",
		Edits: []mutant.Edit{{
			File: "raftnode/leaseround.go",
			Old:  "case n.applied < it.applied, !found && n.applied < it.commit, len(r.items) == maxLeasesAsked,",
			New:  "case len(r.items) == maxLeasesAsked,",
		}},
	},
	{
		Name: "lease-unsettled-look",
		What: "A new leader says what remains of a lease before it has asked the others: less than was promised. This one was " +
			"real.",
		Edits: []mutant.Edit{{
			File: "raftnode/leaseround.go",
			Old:  "it.look && !d.settled:",
			New:  "false:",
		}},
	},
	{
		Name: "stall-unnoticed",
		What: "A leader whose log hangs does not notice: the followers commit one entry without it, its heartbeats go on, and " +
			"no write is accepted any more.",
		Edits: []mutant.Edit{{
			File: "raftnode/stall.go",
			Old:  "if n.leads() && n.othersElect() && n.transfer == nil && !s.handed {",
			New:  "if false {",
		}},
	},
	{
		Name: "full-disk-forgotten-append",
		What: "A write to the log that found no space is not tried again: the node has space, and takes nothing any more.",
		Edits: []mutant.Edit{{
			File: "raftnode/space.go",
			Old:  "		n.appends.blocked()\n",
			New:  "",
		}},
	},
	{
		Name: "full-disk-in-doubt",
		What: "A log that found no space inside a segment refuses all further work, and the node waits for it for ever, as for " +
			"space.",
		Edits: []mutant.Edit{{
			File: "storage/wal/append.go",
			Old:  "			return err // file systems",
			New:  "			return l.fail(err) // file systems",
		}},
	},
	{
		Name: "full-disk-locked",
		What: "The alarm of a full disk is not cleared once there is space: as with etcd, nothing is written until somebody " +
			"comes.",
		Edits: []mutant.Edit{{
			File: "raftnode/space.go",
			Old:  "	case !s.low && raised:\n		n.proposeAlarm(n.ownAlarm(), pb.AlarmRequest_DEACTIVATE)\n",
			New:  "",
		}},
	},
	{
		Name: "full-disk-silent-voter",
		What: "Votes wait behind a write to the log that waits for space: with one node of three gone and another's disk full, " +
			"nobody leads.",
		Edits: []mutant.Edit{{
			File: "raftnode/ahead.go",
			Old:  "if q.blocked == nil || a.busy",
			New:  "if true || a.busy",
		}},
	},
	{
		Name: "vote-ahead-unsaved",
		What: "A vote that goes ahead of a write without space is not saved: it does not survive a crash.",
		Edits: []mutant.Edit{{
			File: "raftnode/ahead.go",
			Old:  "return n.disk.saveHard(w)",
			New:  "return nil",
		}},
	},
	{
		Name: "ack-ahead-of-log",
		What: "What goes ahead of a write without space are not only votes but also acknowledgements, of entries that are nowhere: " +
			"a node confirms what it does not hold.",
		Edits: []mutant.Edit{{
			File: "raftnode/ahead.go",
			Old:  "vote := m.GetType() == raftpb.MsgVoteResp",
			New:  "vote := m.GetType() == raftpb.MsgAppResp || m.GetType() == raftpb.MsgVoteResp",
		}},
	},
	{
		Name: "damage-is-torn",
		What: "The log ends before the first damage, as if that were a torn write, although what comes after proves that it was " +
			"synced: a node forgets what it acknowledged, and an acknowledged write is lost or raft panics.",
		Edits: []mutant.Edit{{
			File: "storage/wal/open.go",
			Old: `	r := newReplay()
	if err := r.segmentsOf(f, cfg, links, w); err != nil {
		return`,
			New: `	r := newReplay()
	var corrupt *CorruptError
	if err := r.segmentsOf(f, cfg, links, w); err != nil && !errors.As(err, &corrupt) {
		return`,
		}, {
			File: "storage/wal/replay.go",
			Old: `	case d.proof == "":
		return`,
			New: `	case d.proof == "" || d.proof != "":
		return`,
		}},
	},
	{
		Name: "stale-frame-accepted",
		What: "A frame is taken for the next one wherever and whenever it was written: one of long ago, which the disk has put " +
			"behind the last, replaces what came after it, and a node forgets what it acknowledged.",
		Edits: []mutant.Edit{{
			File: "storage/wal/scan.go",
			Old:  "if !ok || h.seq != s.r.seq+1 || h.prevCRC != s.r.chain {",
			New:  "if !ok {",
		}, {
			File: "storage/wal/crc.go",
			Old:  "	return segmentCRC(^crc)",
			New:  "	return c",
		}},
	},
	{
		Name: "damaged-log-votes",
		What: "A node whose log lost entries starts with what is left instead of keeping silent: it votes and acknowledges " +
			"without what it acknowledged before.",
		Edits: []mutant.Edit{{
			File: "raftnode/repair.go",
			Old:  "	if !joined {\n",
			New:  "	if !joined && p.from.Index == 0 {\n",
		}},
	},
	{
		Name: "damaged-state-served",
		What: "The checksum of a stored value is not looked at: a value that the disk has changed is served.",
		Edits: []mutant.Edit{{
			File: "storage/mvcc/keyvalue.go",
			Old:  "binary.LittleEndian.Uint32(stored[n+1:]) != rowChecksum(rowKey, stored[:n]) {",
			New:  "binary.LittleEndian.Uint32(stored[n+1:]) == 0 {",
		}},
	},
	{
		Name: "replaced-beside-applies",
		What: "A state that was found damaged is replaced from another lane than the one that applies and flushes: two jobs " +
			"on one file at a time (etcd #20271).",
		Edits: []mutant.Edit{{
			File: "raftnode/stateloss.go",
			Old: `	n.applyLane.Do(func() (err error) {
		if state, err = n.state.replace(`,
			New: `	n.snapLane.Do(func() (err error) {
		if state, err = n.state.replace(`,
		}},
	},
	{
		Name: "ack-unstable-alone",
		What: "A member alone in its cluster takes entries for committed that are still on their way to its disk (etcd " +
			"#14370): it answers, loses power, and an acknowledged write is missing.",
		Edits: []mutant.Edit{{
			File: "raftnode/append.go",
			Old:  "	var took time.Duration\n	var wantsNext bool\n",
			New:  "	if n.alone() {\n		n.appended(w)\n	}\n	var took time.Duration\n	var wantsNext bool\n",
		}, {
			File: "raftnode/append.go",
			Old:  "		n.appended(w)\n		n.startAppend()\n",
			New:  "		if !n.alone() {\n			n.appended(w)\n		}\n		n.startAppend()\n",
		}},
	},
	{
		Name: "lease-keys-not-restored",
		What: "A state that is opened, after a restart or from a snapshot, does not find out which keys each lease holds: a " +
			"cache that only this member lacks (etcd #14571). The lease ends without its keys, and histories differ.",
		Edits: []mutant.Edit{{
			File: "storage/apply/machine.go",
			Old: `	if err := m.attachAll(); err != nil {
		return nil, err
	}
`,
			New: ``,
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
	if m.kv.PendingOps() > 0 {
		var early backend.Batch
		m.kv.Flush(&early)
		if m.err = m.db.Commit(&early); m.err == nil {
			m.kv.Flushed()
		}
	}
	return done
`,
		}},
	},
	{
		Name: "lease-revoked-by-old-leader",
		What: "An expired lease is revoked by a command like any client's, which goes to the next leader when the one that " +
			"wanted it is deposed, and counts in its term (etcd #15247): a lease ends that was renewed meanwhile.",
		Edits: []mutant.Edit{{
			File: "raftnode/leaseexpiry.go",
			Old:  "	if err := n.raw.Propose(apply.EncodeBatch(batch)); err != nil {\n",
			New: `	for i, e := range dying {
		e.expiring = true
		counter := batch[i].ID.Counter
		d.proposed[counter] = e
		n.Propose(&Proposal{Request: revokeRequest(e.id), Done: func(_ apply.Response, err error) {
			if delete(d.proposed, counter); err != nil && n.leases.lead == d {
				e.expiring = false
				d.expiry.add(e)
			}
		}})
	}
	batch, dying = nil, nil
	if len(d.proposed) > 0 {
		return
	}
	if err := n.raw.Propose(apply.EncodeBatch(batch)); err != nil {
`,
		}},
	},
	{
		Name: "lease-clock-jumps",
		What: "The clock of leases follows the node's over any distance: processes that stood still find all leases expired " +
			"before anybody can renew one (etcd #15247).",
		Edits: []mutant.Edit{{
			File: "raftnode/lease.go",
			Old:  "	return c.now + min(clock-c.set, c.limit)\n",
			New:  "	return c.now + clock - c.set\n",
		}},
	},
	{
		Name: "lease-wall-clock",
		What: "The clock of leases is the wall's, which somebody sets: a lease expires before its time, or never.",
		Edits: []mutant.Edit{
			{
				File: "raftnode/lease.go",
				Old:  "return n.leases.clock.read(n.env.Clock.Now()) }",
				New:  "return time.Duration(n.env.Clock.Wall().UnixNano()) }",
			},
		},
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
		Name: "revision-from-surviving-keys",
		What: "The current revision is not stored but derived at a start, from the newest pair that is left (etcd #17780): if " +
			"the last changes were deletions, revisions go back and are given out twice.",
		Edits: []mutant.Edit{{
			File: "storage/mvcc/restore.go",
			Old:  "	bury()\n	if rows != s.rows {",
			New: `	bury()
	s.revision = max(firstRevision, s.compact)
	s.index.live.Scan(func(_ string, it *item) bool {
		s.revision = max(s.revision, it.rows[len(it.rows)-1].main)
		return true
	})
	if rows != s.rows {`,
		}},
	},
	{
		Name: "snapshot-file-gone-too-soon",
		What: "A snapshot's file is deleted once its content is staged, although until the state was switched a start still needs " +
			"it (etcd #18055).",
		Edits: []mutant.Edit{{
			File: "raftnode/install.go",
			Old:  "	return &staged{meta: m, gen: gen, machine: machine}, nil\n",
			New:  "	return &staged{meta: m, gen: gen, machine: machine}, snap.Remove(n.env.FS, snapDir, m.Index, m.Term)\n",
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
		Name: "index-without-first-deletion",
		What: "The index that a start builds leaves out deletions with nothing before them (etcd #19179): they are never " +
			"removed, and the size of the store, by which space is refused, differs from the others'.",
		Edits: []mutant.Edit{{
			File: "storage/mvcc/restore.go",
			Old:  "		if rev.Main != last.Main {\n			bury()\n		}\n",
			New: `		if rev.Main != last.Main {
			bury()
		}
		if tombstone && s.index.get(alias(kv.Key)) == nil {
			last = rev
			rows++
			continue
		}
`,
		}},
	},
	{
		Name: "watch-before-its-start",
		What: "A watch from a revision that is still to come is given what happens before it (etcd #20221).",
		Edits: []mutant.Edit{{
			File: "storage/watch/watcher.go",
			Old:  "		if w.start > revision {\n",
			New:  "		if false {\n",
		}},
	},
	{
		Name: "watch-restored-below-start",
		What: "A snapshot that replaces the state moves watchers to the revision at which the old one ended, also those that " +
			"start later (etcd #20221).",
		Edits: []mutant.Edit{{
			File: "storage/watch/hub.go",
			Old:  "w.makeDue(max(old+1, w.start))",
			New:  "w.makeDue(old + 1)",
		}},
	},
	{
		Name: "watch-progress-before-start",
		What: "A watch from a revision that is still to come is told of progress below it (etcd #20221): a client that resumes " +
			"there gets what it did not want.",
		Edits: []mutant.Edit{{
			File: "storage/watch/stream.go",
			Old:  "w.state == idle && s.hub.view.Revision()+1 >= w.start {",
			New:  "w.state == idle {",
		}},
	},
	{
		Name: "watch-now-is-late",
		What: "A watch from revision 0, which is from now on, begins with the newest change that was there already (Jepsen: an " +
			"edge that nobody had written down).",
		Edits: []mutant.Edit{{
			File: "storage/watch/stream.go",
			Old:  "		w.start = revision + 1\n",
			New:  "		w.start = revision\n",
		}},
	},
	{
		Name: "zeros-are-torn",
		What: "Where a frame should begin and zeros are, the log is taken to end, whatever comes behind them, as in etcd's log: a " +
			"node forgets what it acknowledged because one sector reads as zeros.",
		Edits: []mutant.Edit{{
			File: "storage/wal/scan.go",
			Old:  "		g, err := s.search(s.off)\n",
			New: `		if b, err := s.w.peek(s.off, frameAlign); err == nil && len(b) >= frameAlign && le.Uint64(b) == 0 {
			s.off = s.w.size
			return false, nil
		}
		g, err := s.search(s.off)
`,
		}},
	},
	{
		Name: "hardstate-slots-alternate",
		What: "The hard state is written to one of its two copies in turn: when the newest is damaged, a start finds the one " +
			"before, and the node takes back its vote or its term.",
		Edits: []mutant.Edit{{
			File: "storage/wal/hardstate.go",
			Old:  "	for i := range 2 {\n		if err := f.writeCopy(i, seq, hs)",
			New:  "	for i := seq % 2; i <= seq%2; i++ {\n		if err := f.writeCopy(int(i), seq, hs)",
		}},
	},
	{
		Name: "repair-from-any-log",
		What: "A log whose end is lost is repaired from whoever answers first, not from a leader: that one may lack what this " +
			"node acknowledged, and an acknowledged write is lost.",
		Edits: []mutant.Edit{{
			File: "raftnode/repairfetch.go",
			Old:  "	case n.raw != nil && n.raw.BasicStatus().RaftState == raft.StateLeader:\n",
			New:  "	case n.raw != nil && n.raw.BasicStatus().RaftState <= raft.StateLeader:\n",
		}},
		Test: &mutant.Test{Package: "raftnode", Run: "TestScripts/repair_tail"},
	},
	{
		Name: "repair-hole-by-index",
		What: "Whoever has an entry of the right index fills a hole, whatever its term: the log is patched with another one's " +
			"history, and the log is nobody's.",
		Edits: []mutant.Edit{{
			File: "raftnode/repairfetch.go",
			Old:  "err == nil && known == q.GetKnownTerm():\n",
			New:  "err == nil && known > 0:\n",
		}, {
			File: "raftnode/repairfetch.go",
			Old:  "	case len(p.got) < missing || p.got[missing-1].GetTerm() != p.behind.Term:\n",
			New:  "	case len(p.got) < missing:\n",
		}},
		Test: &mutant.Test{Package: "raftnode", Run: "TestScripts/repair_diverged"},
	},
	{
		Name: "repair-unchecked",
		What: "What a member sends for a hole is not compared with the header that the lost frame left: an entry that no log " +
			"ever had is taken for an acknowledged one.",
		Edits: []mutant.Edit{{
			File: "raftnode/repairfetch.go",
			Old:  "		if err := p.check(entries); err != nil {\n",
			New:  "		if err := p.check(entries); err != nil && len(entries) == 0 {\n",
		}},
		Test: &mutant.Test{Package: "raftnode", Run: "TestScripts/repair_forged"},
	},
	{
		Name: "lost-frame-replaced",
		What: "The header of a lost frame counts although later entries took the place of its own: what others send is right " +
			"and refused, and the log is never repaired.",
		Edits: []mutant.Edit{{
			File: "storage/wal/lostframe.go",
			Old:  "	l.cut(h.first - 1)\n",
			New:  "	l.last = nil\n",
		}},
		Test: &mutant.Test{Package: "storage/wal", Run: "TestLostFrames"},
	},
	{
		Name: "lost-frame-torn",
		What: "A frame that a crash tore, and a boot cut off, counts as one that the log lost: what others send is right and " +
			"refused, and the log is never repaired.",
		Edits: []mutant.Edit{{
			File: "storage/wal/replay.go",
			Old:  "		r.gaps.lost.cut(h.lastIndex) // what is behind was cut off by a boot\n",
			New:  "",
		}},
		Test: &mutant.Test{Package: "storage/wal", Run: "TestTornFrameIsNoLostFrame"},
	},
	{
		Name: "lock-without-its-key",
		What: "A waiter takes the lock once nobody stands before it, without a look whether its own key and lease are still there " +
			"(Jepsen, etcd 3.4.3): two clients hold one lock.",
		Edits: []mutant.Edit{{
			File: "server/queue.go",
			Old:  "			Compare: []*pb.Compare{createdAt(p.key, p.revision), leasedBy(p.key, p.lease)},\n			Success: []*pb.RequestOp{rangeOp(before)},\n",
			New:  "			Success: []*pb.RequestOp{rangeOp(before)},\n",
		}},
		Test: &mutant.Test{Package: "server", Run: "^TestKeyMadeAgainIsAnotherPlace$"},
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
	{
		Name: "scrub-skips-log",
		What: "The scrubber leaves out the log: damage to it stays until a start comes across it.",
		Edits: []mutant.Edit{{
			File: "raftnode/scrub.go",
			Old: `&n.stats.Scrub.HardState) {
			n.scrubLog(p)`,
			New: `&n.stats.Scrub.HardState) {
			n.scrubState(p)`,
		}},
	},
	{
		Name: "scrub-keeps-damaged-copy",
		What: "The scrubber is content with one intact copy of the hard state: the next damage makes the member forget its " +
			"vote.",
		Edits: []mutant.Edit{{
			File: "storage/wal/hardstate.go",
			Old:  "for i, c := range copies {\n\t\tswitch {",
			New:  "for i, c := range copies[1:] {\n\t\tswitch {",
		}},
	},
	{
		Name: "scrub-keeps-damaged-state",
		What: "The scrubber finds a damaged value and only counts it.",
		Edits: []mutant.Edit{{
			File: "raftnode/scrub.go",
			Old: `			n.StateDamaged(fmt.Errorf("scrub: %w", why))
`,
			New: ``,
		}},
	},
	{
		Name: "renewal-beside-append",
		What: "The log is written anew from memory while an append is under way, which memory does not have yet: it would be " +
			"acknowledged and gone. The log notices and refuses.",
		Edits: []mutant.Edit{{
			File: "raftnode/scrub.go",
			Old:  "if r == nil || n.appends.busy || n.stopped",
			New:  "if r == nil || n.stopped",
		}},
	},
	{
		Name: "renewal-loses-tail",
		What: "The renewed log holds only what is committed: what this member acknowledged behind that is gone with its next " +
			"crash.",
		Edits: []mutant.Edit{
			{
				File: "raftnode/scrub.go",
				Old:  "return base, n.mem.entries[base.Index-n.mem.baseIndex:]\n",
				New:  "return base, n.mem.entries[base.Index-n.mem.baseIndex : max(base.Index, n.applied)-n.mem.baseIndex]\n",
			},
			{
				File: "storage/wal/scrub.go",
				Old:  "if !ok || last != l.terms.last || lastTerm != l.terms.lastTerm() {",
				New:  "if !ok {",
			},
		},
	},
	{
		Name: "sync-tried-again",
		What: "A failed sync of the log is tried once more and the success believed: the kernel has dropped what it could not " +
			"write, and an acknowledged entry is in the page cache only.",
		Edits: []mutant.Edit{{
			File: "storage/wal/append.go",
			Old: `	if err := l.file.Sync(); err != nil {
		return l.fail(fmt.Errorf("sync log segment %d at offset`,
			New: `	err := l.file.Sync()
	if err != nil {
		err = l.file.Sync()
	}
	if err != nil {
		return l.fail(fmt.Errorf("sync log segment %d at offset`,
		}},
	},
	{
		Name: "reused-member-id",
		What: "A member is listened to whatever data directory it comes with: one that was emptied, and has forgotten its votes " +
			"and what it acknowledged, is an equal among equals. Two nodes lead in a term, or an acknowledged write is lost.",
		Edits: []mutant.Edit{{
			File: "raftnode/admit.go",
			Old:  "case a.admitted(member, h.Boot): // it says",
			New:  "case a.admitted(member, h.Boot), p.Incarnation != h.Incarnation: // it says",
		}},
	},
	{
		Name: "members-met-anew",
		What: "Whom a node has met it forgets when it starts: once all nodes start anew, a member that has lost its data " +
			"directory is one that nobody has ever seen.",
		Edits: []mutant.Edit{{
			File: "raftnode/admit.go",
			Old:  "for _, p := range peers.Met {",
			New:  "for _, p := range peers.Met[:0] {",
		}},
	},
	{
		Name: "copy-started-often",
		What: "Only the number of its starts tells an older copy of a data directory from the one that was in use: a copy that " +
			"is started often enough passes for it.",
		Edits: []mutant.Edit{{
			File: "raftnode/admit.go",
			Old:  "case !descends(h, p):",
			New:  "case h.Epoch == p.Epoch && !descends(h, p):",
		}},
	},
	{
		Name: "forgotten-acknowledgement",
		What: "A member that comes with less than it has acknowledged is listened to: raft panics over the missing entries, or " +
			"counts them as stored.",
		Edits: []mutant.Edit{{
			File: "raftnode/admit.go",
			Old:  "case h.Term == t.ackTerm && h.Last < t.ack && !h.Repairing:",
			New:  "case h.Term == 0:",
		}},
	},
}
