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
			"and a node whose log no longer reaches back does not start.",
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
		What: "A snapshot replaces the state from another lane, without waiting for the applies that are queued: these " +
			"meet a newer state, and the node fails or the applied index goes back.",
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
		Name: "damage-is-torn",
		What: "The log ends before the first damage, as if that were a torn write, although what comes after proves that it was " +
			"synced: a node forgets what it acknowledged, and an acknowledged write is lost or raft panics.",
		Edits: []mutant.Edit{{
			File: "storage/wal/open.go",
			Old: `	r := new(replay)
	if err := r.segmentsOf(f, cfg, links, w); err != nil {
		return`,
			New: `	r := new(replay)
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
