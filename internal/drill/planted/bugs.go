package planted

import (
	"github.com/quorumkv/quorumkv/internal/drill/check"
	"github.com/quorumkv/quorumkv/internal/mutant"
)

// bugs are in the order in which they are tried.
var bugs = []Bug{
	{
		Name: "acknowledge-before-commit",
		What: "A leader that waits for its followers longer than usual acknowledges puts that are in its own log only: when it " +
			"is cut off, they are lost.",
		Drill:    []string{"split-brain", "--rounds", "1", "--duration", "8s", "--clients", "36"},
		Promises: []string{check.NoLostWrite, check.Linearizable},
		Edits: []mutant.Edit{
			{
				File: "raftnode/node.go",
				Old:  "	n.pending.expire(now, n.timeoutError)\n",
				New:  "	n.pending.expire(now, n.timeoutError)\n	n.acknowledgeEarly(now)\n",
			},
			{
				File: "raftnode/pending.go",
				Old:  "	bytes     int         // of the requests that wait\n",
				New:  "	bytes     int         // of the requests that wait\n	early     int64\n",
			},
			{
				File: "raftnode/leaseexpiry.go",
				Old:  "func revokeRequest(",
				New: `func (n *Node) acknowledgeEarly(now time.Duration) {
	t := &n.pending
	for _, p := range t.order {
		var r pb.InternalRaftRequest
		if n.leases.lead == nil || p == nil || !p.sent || p.finished || now-p.started < 2*n.cfg.Tick ||
			proto.Unmarshal(p.Request, &r) != nil || r.Put == nil {
			continue
		}
		t.early = max(t.early, n.view.KV.Revision()) + 1
		t.finish(p.id.Counter, apply.Response{
			Put: &pb.PutResponse{Header: &pb.ResponseHeader{Revision: t.early}}, Revision: t.early,
		}, nil)
	}
}

func revokeRequest(`,
			},
		},
	},
	{
		Name: "minority-reads",
		What: "A member that knows of no leader refuses writes at once, which is allowed, and answers linearizable reads from " +
			"what it has, which is not.",
		Drill:    []string{"split-brain", "--rounds", "1", "--duration", "9s"},
		Promises: []string{check.NoStaleRead, check.Linearizable},
		Edits: []mutant.Edit{
			{
				File: "raftnode/propose.go",
				Old:  "	case n.stopped:\n",
				New:  "	case n.leader == 0:\n		p.Done(apply.Response{}, ErrNoLeader)\n		return\n	case n.stopped:\n",
			},
			{
				File: "raftnode/readindex.go",
				Old:  "	q := &n.reads\n	if q.context != nil",
				New: `	q := &n.reads
	if n.leader == 0 && n.applied >= n.caughtUp {
		reads := q.waiting
		q.waiting = nil
		n.serve(reads)
	}
	if q.context != nil`,
			},
		},
	},
	{
		Name:     "dropped-watch-event",
		What:     "A member that catches up with many changes at once sends its watchers only the newest.",
		Drill:    []string{"split-brain", "--rounds", "1", "--duration", "8s"},
		Promises: []string{check.Watches},
		Edits: []mutant.Edit{{
			File: "storage/watch/hub.go",
			Old:  "events, _, err := v.Events(old+1, math.MaxInt)",
			New:  "events, _, err := v.Events(max(old+1, v.Revision()-49), math.MaxInt)",
		}},
	},
	{
		Name: "apply-twice",
		What: "A request that is not answered soon is sent to the leader again, and the window that tells duplicates lets it " +
			"pass.",
		Drill:    []string{"slow-network", "--rounds", "1", "--duration", "6s"},
		Promises: []string{check.NoInventedWrite},
		Edits: []mutant.Edit{
			{
				File: "raftnode/node.go",
				Old:  "	n.pending.expire(now, n.timeoutError)\n",
				New: `	n.pending.expire(now, n.timeoutError)
	for _, p := range n.pending.order {
		if p.sent && !p.finished && now-p.started >= n.cfg.Tick {
			n.enqueue(queued{Command: apply.Command{ID: p.id, Request: p.Request}, own: p})
		}
	}
`,
			},
			{
				File: "storage/apply/machine.go",
				Old: `	if !w.admit(c.ID.Epoch, c.ID.Counter) {
		return Response{}, ErrDuplicate
	}
`,
				New: `	w.admit(c.ID.Epoch, c.ID.Counter)
`,
			},
		},
	},
	{
		Name: "sleeper-revokes",
		What: "A leader that was stopped for a while counts the time for its leases, and the next leader carries out what it " +
			"decides then: leases end that were kept alive on other members.",
		Drill:    []string{"pause", "--rounds", "1", "--duration", "12s"},
		Promises: []string{check.Leases},
		Edits: []mutant.Edit{
			{
				File: "raftnode/lease.go",
				Old:  "return c.now + min(clock-c.set, c.limit)",
				New:  "return c.now + clock - c.set",
			},
			{
				File: "raftnode/leaseexpiry.go",
				Old: `		n.self.Counter++
		batch = append(batch, apply.Command{ID: n.self, Term: d.term, Request: revokeRequest(e.id)})
		dying = append(dying, e)
`,
				New: `		n.Propose(&Proposal{Request: revokeRequest(e.id), Done: func(apply.Response, error) {}})
`,
			},
		},
	},
	{
		Name:     "serializable-goes-back",
		What:     "A member that loses its leader answers serializable reads from what it had when it began to follow that leader.",
		Drill:    []string{"split-brain", "--rounds", "1", "--duration", "8s"},
		Promises: []string{check.Serializable},
		Edits: []mutant.Edit{
			{
				File: "raftnode/node.go",
				Old:  "	n.reads.restart()\n	n.leaderOfLeases()\n",
				New: `	if n.leader != 0 {
		n.begun = n.view
	}
	n.reads.restart()
	n.leaderOfLeases()
`,
			},
			{
				File: "raftnode/node.go",
				Old:  "	stats     Stats\n",
				New:  "	begun     *apply.View\n	stats     Stats\n",
			},
			{
				File: "raftnode/status.go",
				Old:  "		n.cfg.Publish(s, v)\n",
				New: `		if n.leader == 0 && n.begun != nil {
			n.cfg.Publish(s, n.begun)
		} else {
			n.cfg.Publish(s, v)
		}
`,
			},
		},
	},
	{
		Name:  "deleted-key-returns",
		What:  "A member that catches up with many entries at once does not take deleted keys out of its index.",
		Drill: []string{"split-brain", "--rounds", "1", "--duration", "8s"},
		// What it answers to its own clients' writes is as wrong as what it reads, and the drill ends with the first wrong answer.
		Promises: []string{check.Serializable, check.Linearizable},
		Edits: []mutant.Edit{
			{
				File: "storage/mvcc/store.go",
				Old:  "	view  *View\n}",
				New:  "	view  *View\n	Hurried bool\n}",
			},
			{
				File: "storage/mvcc/txn.go",
				Old:  "		s.index.bury(was.key, was.it.buried(w))\n",
				New:  "		if !s.Hurried {\n			s.index.bury(was.key, was.it.buried(w))\n		}\n",
			},
			{
				File: "storage/apply/machine.go",
				Old:  "	var results []Result\n	for _, e := range entries {\n",
				New:  "	var results []Result\n	m.kv.Hurried = len(entries) > 30\n	for _, e := range entries {\n",
			},
		},
	},
	{
		Name: "hash-forgets-leases",
		What: "HashKV leaves leases out of the changes that are in memory, and not out of those that are read from the file: a " +
			"member that was started again has another hash.",
		Drill:    []string{"failover", "--rounds", "1", "--duration", "6s"},
		Promises: []string{check.ReplicasAgree}, Nameless: true,
		Edits: []mutant.Edit{{
			File: "storage/mvcc/hash.go",
			Old:  "h.buf = AppendKeyValue(h.buf, e.KV)",
			New: `h.buf = AppendKeyValue(h.buf, &mvccpb.KeyValue{
			Key: e.KV.Key, Value: e.KV.Value, CreateRevision: e.KV.CreateRevision, ModRevision: e.KV.ModRevision,
			Version: e.KV.Version,
		})`,
		}},
	},
	{
		Name:     "refused-yet-done",
		What:     "A leader that has to step down refuses what it has proposed, for certain, and the next leader commits it.",
		Drill:    []string{"split-brain", "--rounds", "2", "--duration", "14s", "--clients", "24"},
		Promises: []string{check.NoInventedWrite},
		Edits: []mutant.Edit{{
			File: "raftnode/node.go",
			Old:  "	if wasLeader && n.role != raft.StateLeader {\n",
			New: `	if wasLeader && n.role != raft.StateLeader {
		for _, p := range n.pending.order {
			if p != nil && p.sent {
				n.pending.finish(p.id.Counter, apply.Response{}, ErrNoSpace)
			}
		}
`,
		}},
	},
}
