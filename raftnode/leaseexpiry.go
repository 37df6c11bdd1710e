package raftnode

import (
	"cmp"
	"container/heap"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// due is a lease in the queue of deadlines. A renewal does not move it: when its time comes and the lease has a later
// deadline by then, it goes back into the queue.
type due struct {
	at    time.Duration
	lease *leased
}

// expiryQueue has the earliest deadline first; of equal ones, the lower id.
type expiryQueue []due

func (q expiryQueue) Len() int { return len(q) }
func (q expiryQueue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].at, q[j].at), cmp.Compare(q[i].lease.id, q[j].lease.id)) < 0
}
func (q expiryQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *expiryQueue) Push(x any)   { *q = append(*q, x.(due)) }
func (q *expiryQueue) Pop() any {
	last := len(*q) - 1
	d := (*q)[last]
	(*q)[last] = due{}
	*q = (*q)[:last]
	return d
}

func (q *expiryQueue) init() { heap.Init(q) }

func (q *expiryQueue) add(e *leased) {
	if !e.queued {
		e.queued = true
		heap.Push(q, due{at: e.deadline, lease: e})
	}
}

// expired takes the next lease that has outlived its deadline, nil if there is none.
func (l *leases) expired(now time.Duration) *leased {
	q := &l.lead.expiry
	for len(*q) > 0 && (*q)[0].at <= now {
		e := heap.Pop(q).(due).lease
		e.queued = false
		if current, ok := l.table.Get(e.id); !ok || current != e {
			continue // revoked
		}
		if e.deadline <= now {
			return e
		}
		q.add(e)
	}
	return nil
}

// proposeExpiries puts the revocations of expired leases into the log: many in one entry, but one entry at a time and no
// more in it than clients' writes can wait for. They count only in this leader's term, and nobody else ever proposes them: what a leader
// decided that was deposed meanwhile must not happen (etcd #15247).
func (n *Node) proposeExpiries() {
	l, d := &n.leases, n.leases.lead
	if d == nil || !d.settled || len(d.proposed) > 0 {
		return
	}
	var batch []apply.Command
	var dying []*leased
	for now := n.leaseNow(); len(batch) < d.window; {
		e := l.expired(now)
		if e == nil {
			break
		}
		n.self.Counter++
		batch = append(batch, apply.Command{ID: n.self, Term: d.term, Request: revokeRequest(e.id)})
		dying = append(dying, e)
	}
	if len(batch) == 0 {
		return
	}
	if err := n.raw.Propose(apply.EncodeBatch(batch)); err != nil {
		for _, e := range dying { // a transfer is on, or too much is uncommitted: they wait
			d.expiry.add(e)
		}
		return
	}
	for i, e := range dying {
		e.expiring = true
		d.proposed[batch[i].ID.Counter] = e
	}
}

func revokeRequest(id int64) []byte {
	b, err := proto.Marshal(&pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: id}})
	if err != nil {
		panic("encode a revocation: " + err.Error())
	}
	return b
}

// expiriesApplied takes the outcome of revocations that this leader proposed. How long it took to apply them decides how
// many go together next time: leases with many keys must not hold up clients' writes, and leases with few must go fast.
func (n *Node) expiriesApplied(results []apply.Result, took time.Duration) {
	d := n.leases.lead
	if d == nil || len(d.proposed) == 0 {
		return
	}
	for i := range results {
		r := &results[i]
		e, ok := d.proposed[r.ID.Counter]
		if !ok {
			continue
		}
		delete(d.proposed, r.ID.Counter)
		if r.Err == nil {
			n.stats.LeasesExpired++
		}
		if current, found := n.leases.table.Get(e.id); found && current == e { // nothing happened
			e.expiring = false
			d.waiting = append(d.waiting, e.held...)
			e.held = nil
			d.expiry.add(e)
		}
	}
	switch {
	case len(d.proposed) > 0:
	case took > expiryPace:
		d.window = max(d.window/2, minExpiring)
	default:
		d.window = min(d.window*2, maxExpiring)
	}
}
