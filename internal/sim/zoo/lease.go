package zoo

import "github.com/quorumkv/quorumkv/internal/mutant"

// leaseBugs are about leases, and locks, which stand on them.
var leaseBugs = []Bug{
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
		Edits: []mutant.Edit{
			{
				File: "raftnode/leasesurvey.go",
				Old:  "if 1+len(d.page.answers) < quorum {",
				New:  "if 1+len(d.page.answers) < min(quorum, 1) {",
			},
			{
				File: "raftnode/leasesurvey.go",
				Old:  "patient := 1+len(d.page.answers) < voters &&",
				New:  "patient := false &&",
			},
		},
	},
	{
		Name: "lease-guessed-at-once",
		What: "A new leader takes the first answers that make a quorum, although too few of them are certain: when a member was " +
			"restarted just before, leases that nobody renews live up to twice their time. This one was real.",
		Edits: []mutant.Edit{{
			File: "raftnode/leasesurvey.go",
			Old:  "patient := 1+len(d.page.answers) < voters &&",
			New:  "patient := false &&",
		}},
		Test: &mutant.Test{Package: "raftnode", Run: "^TestScripts/lease_handed_over$"},
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
}
