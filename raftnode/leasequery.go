package raftnode

import (
	"time"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// LeaseStatus is what is known of a lease.
type LeaseStatus struct {
	ID        int64
	Granted   int64 // time to live, in seconds
	Remaining time.Duration
	Keys      []string // in order
}

// LeaseQuery asks for one lease. Done runs exactly once, on the loop; found is false when there is no such lease.
type LeaseQuery struct {
	ID   int64
	Keys bool // list them
	Done func(s LeaseStatus, found bool, err error)
}

// QueryLease answers from a state that holds everything acknowledged before the call; what remains of the lease says the
// leader.
func (n *Node) QueryLease(q *LeaseQuery) {
	n.ReadIndex(&Read{Done: func(_ *apply.View, err error) {
		e, ok := n.leases.table.Get(q.ID)
		if err != nil || !ok {
			q.Done(LeaseStatus{}, false, err)
			return
		}
		s := LeaseStatus{ID: q.ID, Granted: int64(e.ttl / time.Second)}
		n.CallLease(&LeaseCall{ID: q.ID, Look: true, Done: func(ms int64, err error) {
			if err != nil || ms == NoLease {
				q.Done(LeaseStatus{}, false, err)
				return
			}
			s.Remaining = time.Duration(ms) * time.Millisecond
			n.listKeys(q, s)
		}})
	}})
}

func (n *Node) listKeys(q *LeaseQuery, s LeaseStatus) {
	if !q.Keys {
		q.Done(s, true, nil)
		return
	}
	var found bool
	n.applyLane.Do(func() error {
		s.Keys, found = n.state.machine.LeaseKeys(q.ID)
		return nil
	}, func(error) {
		if n.stopped {
			q.Done(LeaseStatus{}, false, ErrStopped)
			return
		}
		q.Done(s, found, nil)
	})
}

// Leases lists what this node knows now, in order of ids. Its deadlines are the leader's, or close to them.
func (n *Node) Leases() []LeaseStatus {
	now := n.leaseNow()
	list := make([]LeaseStatus, 0, n.leases.table.Len())
	n.leases.table.Scan(func(id int64, e *leased) bool {
		list = append(list, LeaseStatus{ID: id, Granted: int64(e.ttl / time.Second), Remaining: max(0, e.deadline-now)})
		return true
	})
	return list
}
