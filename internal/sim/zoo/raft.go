package zoo

import "github.com/quorumkv/quorumkv/internal/mutant"

// raftBugs are about what is acknowledged, voted and read.
var raftBugs = []Bug{
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
		Name: "commit-below-applied",
		What: "A start does not raise the stored commit index to the applied index: raft panics, or the node goes back.",
		Edits: []mutant.Edit{{
			File: "raftnode/install.go",
			Old:  "return min(max(hint, applied), last)",
			New:  "return min(hint, last)",
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
		Name: "one-follower-vouches",
		What: "A leader answers the read index of a follower at once, although the two are no quorum of five voters: together " +
			"they are deposed without knowing it, and a read misses a write that was acknowledged before it began.",
		Edits: []mutant.Edit{{
			File: "raftnode/readindex.go",
			Old:  "return id == n.self.Member || id == m.GetFrom() }",
			New:  "return id != 0 }",
		}},
	},
	{
		Name: "new-leader-vouches",
		What: "A leader answers the read index of a follower at once, before it has applied an entry of its own term: a read " +
			"misses a write that the last leader acknowledged before it began.",
		Edits: []mutant.Edit{{
			File: "raftnode/readindex.go",
			Old:  "if !n.leads() || status.RaftState != raft.StateLeader || status.GetTerm() != n.term || n.newLeader() ||",
			New:  "if status.RaftState != raft.StateLeader ||",
		}},
	},
	{
		Name: "anybody-gone",
		What: "A follower forgets its leader when the process of another follower ends: an election for nothing.",
		Edits: []mutant.Edit{{
			File: "raftnode/gone.go",
			Old:  "n.raw == nil || id != n.raw.BasicStatus().Lead || id == n.self.Member",
			New:  "n.raw == nil || n.leads()",
		}},
		Test: &mutant.Test{Package: "raftnode", Run: "TestScripts/gone"},
	},
	{
		Name: "gone-unnoticed",
		What: "Nobody acts on the news that the leader's process has ended: the cluster waits for an election timeout.",
		Edits: []mutant.Edit{{
			File: "raftnode/gone.go",
			Old:  "|| id == n.self.Member",
			New:  "|| true",
		}},
	},
	{
		Name: "gone-leader-followed",
		What: "A follower that hears of its leader's end stands for election but votes for nobody else, since it heard of that " +
			"leader a moment ago. That is so for one tick at the most, which chance rarely meets.",
		Edits: []mutant.Edit{{
			File: "raftnode/gone.go",
			Old:  "	_ = n.raw.ForgetLeader() // the error says that proposals are dropped, and this is none\n",
		}},
		Test: &mutant.Test{Package: "raftnode", Run: "TestScripts/gone"},
	},
	{
		Name: "apply-not-drained",
		What: "A snapshot replaces the state from another lane, without waiting for the applies that are queued: two jobs on " +
			"one state at a time. Where lanes never overlap it does no harm, since applies skip what a newer state has: it is " +
			"the owner of the file that tells.",
		Edits: []mutant.Edit{{
			File: "raftnode/install.go",
			Old: `		n.applyLane.Do(func() (err error) {
			state, err = n.state.replace(`,
			New: `		n.snapLane.Do(func() (err error) {
			state, err = n.state.replace(`,
		}},
	},
	{
		Name: "installed-beside-commit",
		What: "A snapshot replaces the state, and closes its file, while a commit to it is under way.",
		Edits: []mutant.Edit{{
			File: "raftnode/install.go",
			Old:  "	n.afterFlush(func() {\n",
			New:  "	n.env.Post(func() {\n",
		}},
	},
	{
		Name: "commit-beside-applies",
		What: "The state is committed by the lane that makes snapshots: two jobs on one file at a time. Where lanes never " +
			"overlap it does no harm; it is the owner of the file that tells.",
		Edits: []mutant.Edit{{
			File: "raftnode/flush.go",
			Old:  "	n.flushLane.Do(func() error {\n",
			New:  "	n.snapLane.Do(func() error {\n",
		}},
	},
	{
		Name: "durable-ahead-of-file",
		What: "A flush counts as of when it ends, not of when it was sealed: what was applied meanwhile is taken for durable, the " +
			"log is compacted over it, and after a crash neither has it.",
		Edits: []mutant.Edit{{
			File: "raftnode/flush.go",
			Old:  "		f.file = s.measure(f.sealed.Index)\n",
			New:  "		applied, _ := s.machine.Applied()\n		f.file = s.measure(applied)\n",
		}},
		Test: &mutant.Test{Package: "raftnode", Run: "TestScripts/flush"},
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
