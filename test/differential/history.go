package differential

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	gocmp "github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/quorumkv/quorumkv/test/script"
)

// call is a request and where it goes.
type call struct {
	node, client int
	request      any
}

// step is what is sent at once.
type step struct {
	calls   []call
	restart restart // before the calls
	after   int64   // once done: the newest revision after it
}

type restart int

const (
	noRestart restart = iota
	stopAll
	killAll
)

// history is what was sent since the stores were empty.
type history struct {
	base  int64 // the revision it began at
	steps []step
}

// difference is a request that two systems answer differently.
type difference struct {
	call
	want, got answer
}

func (d *difference) String() string {
	var b strings.Builder
	for _, side := range []struct {
		name string
		answer
	}{{"want", d.want}, {"got", d.got}} {
		fmt.Fprintf(&b, "%s: %.600s\n", side.name, side.failure+text(side.message))
	}
	if d.want.failure == "" && d.got.failure == "" {
		fmt.Fprintf(&b, "(-want +got)\n%s", gocmp.Diff(d.want.message, d.got.message, protocmp.Transform()))
	}
	return b.String()
}

func text(m proto.Message) string {
	if m == nil {
		return ""
	}
	return fmt.Sprint(m)
}

// pair is an oracle and a system under test, whose stores hold the same.
type pair struct {
	want, got  system
	exceptions exceptions
	leases     bool // both have them
	etcd       bool // the system under test is one: this test's own test
	last       int  // a node of got that is known to be up to date
	fresh      bool
}

func newPair(want, got system) *pair {
	return &pair{want: want, got: got, exceptions: exceptions{}, fresh: true}
}

// renew gives both systems a new store.
func (p *pair) renew() {
	p.want.renew()
	p.got.renew()
	p.fresh, p.last = true, 0
}

// begin starts a history: empty stores at the same revision, which is the base. Stores that were used before are emptied
// and compacted, and every revision from base-1 on can be read.
func (p *pair) begin() *state {
	if !p.fresh && !(p.want.alive() && p.got.alive()) {
		p.renew()
	}
	if !p.fresh {
		if s := p.empty(); s != nil {
			return s
		}
		p.renew() // they are further apart than this can mend
	}
	p.fresh = false
	return &state{revision: 1, base: 1, asked: map[int64]bool{}}
}

func (p *pair) empty() *state {
	all := &pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}
	mark := []byte("mark")
	p.last = 0
	a, b := p.want.ask(0, 0, all).revision(), p.got.ask(0, 0, all).revision()
	if p.leases {
		revokeAll(p.want)
		revokeAll(p.got)
	}
	if a == 0 || b == 0 || max(a-b, b-a) > 100 {
		return nil
	}
	for ; a < b; a++ {
		p.want.ask(0, 0, &pb.PutRequest{Key: mark})
	}
	for ; b < a; b++ {
		p.got.ask(0, 0, &pb.PutRequest{Key: mark})
	}
	var at int64
	for i, request := range []any{&pb.PutRequest{Key: mark}, all, nil, &pb.PutRequest{Key: mark}, all} {
		if i == 2 {
			request = &pb.CompactionRequest{Revision: at, Physical: true}
		}
		a, b := p.want.ask(0, 0, request), p.got.ask(0, 0, request)
		if a.failure != "" || !alike(a, b) {
			return nil
		}
		at = a.revision()
	}
	return &state{revision: at, base: at, compacted: at - 2, asked: map[int64]bool{at - 2: true}}
}

// run does one step. The calls of a returned step are in the order in which the oracle was asked.
func (p *pair) run(s *state, st step, seen func(call, answer)) (step, *difference) {
	if st.restart != noRestart {
		p.want.restart(st.restart == killAll)
		p.got.restart(st.restart == killAll)
		p.last = 0
	}
	calls := slices.Clone(st.calls)
	for i, c := range calls {
		if local(c.request) || p.etcd && withoutOperations(c.request) {
			calls[i].node = p.last
		}
	}
	got := make([]answer, len(calls))
	together(len(calls), func(i int) { got[i] = p.got.ask(calls[i].node, calls[i].client, calls[i].request) })
	order := inOrder(got)
	want := make([]answer, len(calls))
	ask := func(i int) { want[i] = p.want.ask(0, calls[i].client, calls[i].request) }
	for from := 0; from < len(order); {
		// What changed nothing may run together with what follows and changed nothing either.
		to := from + 1
		for !changed(got[order[from]].message) && to < len(order) && !changed(got[order[to]].message) {
			to++
		}
		together(to-from, func(i int) { ask(order[from+i]) })
		from = to
	}
	done := step{restart: st.restart}
	var found *difference
	for _, i := range order {
		c := calls[i]
		done.calls = append(done.calls, c)
		if want[i].failure == "" {
			s.revision = max(s.revision, want[i].revision())
			s.note(c.request, want[i])
		}
		// A refusal may come from a node that lags, and so may the answer to a keep-alive: it is the leader's, and the end of
		// a lease without keys, which has no revision, may not have come to who passes it on.
		if _, passedOn := c.request.(*pb.LeaseKeepAliveRequest); !passedOn && got[i].revision() >= s.revision {
			p.last = c.node
		}
		if seen != nil {
			seen(c, want[i])
		}
		p.exceptions.level(c.request, want[i])
		exceptions{}.level(c.request, got[i])
		if found == nil && !alike(want[i], got[i]) {
			found = &difference{call: c, want: want[i], got: got[i]}
		}
	}
	done.after = s.revision
	return done, found
}

// note remembers compactions.
func (s *state) note(request any, a answer) {
	if r, ok := request.(*pb.CompactionRequest); ok {
		s.asked[r.Revision] = true
		s.compacted = max(s.compacted, r.Revision)
	}
}

// alike compares answers. Two that did not come are no agreement.
func alike(a, b answer) bool {
	return !strings.HasPrefix(a.failure, "DeadlineExceeded") && a.failure == b.failure && (a.message == nil) == (b.message == nil) &&
		(a.message == nil || proto.Equal(a.message, b.message))
}

// inOrder tells in which order answers that were given at once came to be: by revision, and among equal ones what made the
// revision before what found it. Errors are last: they do not depend on the others.
func inOrder(answers []answer) []int {
	order := make([]int, len(answers))
	for i := range order {
		order[i] = i
	}
	late := func(a answer) int {
		switch {
		case a.failure != "":
			return 2
		case changed(a.message):
			return 0
		default:
			return 1
		}
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := answers[i], answers[j]
		if a.failure != "" || b.failure != "" {
			return late(a)/2 - late(b)/2
		}
		return cmp.Or(cmp.Compare(a.revision(), b.revision()), late(a)-late(b))
	})
	return order
}

func together(n int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// withoutOperations tells the transactions that decision 1 is about.
func withoutOperations(request any) bool {
	r, ok := request.(*pb.TxnRequest)
	return ok && len(r.Success)+len(r.Failure) == 0
}

// local tells the requests that a node may answer from what it has: they stay with a node that is known to be up to date,
// all others may go anywhere.
func local(request any) bool {
	switch r := request.(type) {
	case *pb.RangeRequest:
		return r.Serializable
	case *script.Stream:
		return r.Serializable
	case *pb.HashKVRequest, *pb.LeaseLeasesRequest:
		return true
	case *pb.TxnRequest:
		// Answered locally if every range agrees to it. Without any operation it is linearizable (decision 1).
		for _, op := range slices.Concat(r.Success, r.Failure) {
			if inner := op.GetRequestRange(); inner == nil || !inner.Serializable {
				return false
			}
		}
		return len(r.Success)+len(r.Failure) > 0
	default:
		return false
	}
}
