package zoo

import "github.com/quorumkv/quorumkv/internal/mutant"

// diskBugs are about what the disk loses, changes or has no room for.
var diskBugs = []Bug{
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
				Old: `	if err := f.SyncDir(""); err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
`,
				New: ``,
			},
		},
	},
	{
		Name: "name-never-synced",
		What: "A start goes on with a file whose name only the system's memory has, because the start that made it was killed " +
			"before it synced the directory: a power cut takes the file, and what was written to it since.",
		Edits: []mutant.Edit{{
			File: "raftnode/create.go",
			Old: `	if err := f.SyncDir(""); err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
`,
			New: ``,
		}},
		Test: &mutant.Test{Package: "raftnode", Run: "TestCreationInterrupted"},
	},
	{
		Name: "swept-before-synced",
		What: "A start removes the state of before a switch that a power cut can still take back.",
		Edits: []mutant.Edit{{
			File: "storage/backend/generation.go",
			Old:  "	if err = fsys.SyncDir(dir); err == nil {\n		g.sweep()\n",
			New:  "	if err == nil {\n		g.sweep()\n",
		}},
		Test: &mutant.Test{Package: "storage/backend", Run: "TestKilledInSwitch"},
	},
	{
		Name: "offer-kept-alive",
		What: "Any request for a piece of a snapshot keeps the leader's offer alive: a member that never heard of it, and fetches " +
			"the same file for a state that it has lost, gets no other.",
		Edits: []mutant.Edit{{
			File: "raftnode/snapshot.go",
			Old:  "ok && offset > o.reached {",
			New:  "ok {",
		}},
		Test: &mutant.Test{Package: "raftnode", Run: "TestScripts/restore_offer_lost"},
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
			Old:  "binary.LittleEndian.Uint32(checksum[1:]) != rowChecksum(rowKey, value) {",
			New:  "binary.LittleEndian.Uint32(checksum[1:]) == 0 {",
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
}
