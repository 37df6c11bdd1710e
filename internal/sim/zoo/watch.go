package zoo

import "github.com/quorumkv/quorumkv/internal/mutant"

// watchBugs are about what watchers are told.
var watchBugs = []Bug{
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
}
