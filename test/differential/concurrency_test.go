package differential

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3election/v3electionpb"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3lock/v3lockpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// contests counts the random operations of TestLocksAndElections.
const contestOps = 400

// contestTimeout ends a wait for what must happen now.
const contestTimeout = 10 * time.Second

// TestLocksAndElections plays the same contests for locks and offices on etcd and the server under test, through their
// services. A model knows who waits for whom, and so which calls have to be answered now; every answer is compared, with
// its key and its revision. Nobody else writes, so revisions are the same.
func TestLocksAndElections(t *testing.T) {
	seed := setting(t, seedEnv, rand.Uint64())
	t.Logf("repeat with: %s=%d go test -count=1 -run TestLocksAndElections ./differential", seedEnv, seed)
	a := newArena(t, seed)
	for range contestOps {
		a.op()
		if t.Failed() {
			t.Fatalf("what was done:\n%s", strings.Join(a.log, "\n"))
		}
	}
	t.Logf("kinds:\n%s", a.counts)
	for _, kind := range []string{"lock: at once", "lock: after waiting", "lock: again", "lock: expired", "lock: canceled",
		"campaign: at once", "campaign: after waiting", "campaign: again", "proclaim", "proclaim: lost", "resign", "resign: lost",
		"leader", "leader: none", "unlock", "unlock: nothing", "observed"} {
		if a.counts[kind] == 0 {
			t.Errorf("never met: %s", kind)
		}
	}
}

// arena is both systems, and who waits for what.
type arena struct {
	t      *testing.T
	rng    *rand.Rand
	sides  [2]*processes
	events [2]*stream // everything, to see who waits
	lock   [2][]v3lockpb.LockClient
	office [2][]v3electionpb.ElectionClient
	seen   [2]chan *v3electionpb.LeaderResponse // by the observer of the first office
	shown  string                               // what it saw last
	queues map[string][]*contestant
	lost   []*v3electionpb.LeaderKey
	lease  int64
	counts coverage
	log    []string
}

// contestant holds or waits for a lock or an office.
type contestant struct {
	name, key string
	lease     int64
	value     string // of a campaign
	expired   bool   // its lease is gone, and it does not know
	waited    bool
	cancel    context.CancelFunc
	answers   [2]chan answer
	leader    *v3electionpb.LeaderKey
	done      bool
}

func newArena(t *testing.T, seed uint64) *arena {
	a := &arena{t: t, rng: rand.New(rand.NewPCG(seed, 0)), queues: map[string][]*contestant{}, lease: 1000, counts: coverage{}}
	a.sides[0] = start(t, cluster.Config{Nodes: 1, Program: cluster.Etcd(t), Flags: etcdFlags})
	a.sides[1] = start(t, cluster.Config{})
	for i, p := range a.sides {
		var err error
		if a.events[i], err = openStream(p.endpoints[0][0], 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.events[i].cancel)
		go a.events[i].receive()
		all := &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: 1}
		if err := a.events[i].create(all, 0); err != nil {
			t.Fatal(err)
		}
		for n := range p.Nodes {
			conn := p.Client(n).ActiveConnection()
			a.lock[i] = append(a.lock[i], v3lockpb.NewLockClient(conn))
			a.office[i] = append(a.office[i], v3electionpb.NewElectionClient(conn))
		}
		observer, err := a.office[i][0].Observe(t.Context(), &v3electionpb.LeaderRequest{Name: []byte(offices[0])})
		if err != nil {
			t.Fatal(err)
		}
		a.seen[i] = make(chan *v3electionpb.LeaderResponse, 1000)
		go func() {
			for {
				response, err := observer.Recv()
				if err != nil {
					return
				}
				a.seen[i] <- response
			}
		}()
	}
	return a
}

var (
	locks   = []string{"lock/a", "lock/b"}
	offices = []string{"office/a", "office/b"}
)

func (a *arena) say(kind, format string, args ...any) {
	a.counts[kind]++
	a.log = append(a.log, kind+" "+fmt.Sprintf(format, args...))
}

// grant gives both systems a lease that outlives the test.
func (a *arena) grant() int64 {
	a.lease++
	a.both(func(side, node int) answer {
		return a.sides[side].ask(node, 0, &pb.LeaseGrantRequest{ID: a.lease, TTL: 10_000})
	})
	return a.lease
}

// both asks both systems the same, ours at any node, and compares.
func (a *arena) both(ask func(side, node int) answer) answer {
	a.t.Helper()
	var answers [2]answer
	node := a.rng.IntN(len(a.sides[1].Nodes))
	answers[0] = ask(0, 0)
	answers[1] = ask(1, node)
	a.same(answers)
	return answers[0]
}

func (a *arena) same(answers [2]answer) {
	a.t.Helper()
	if answers[0].failure != answers[1].failure {
		a.t.Errorf("etcd: %q %v, ours: %q %v", answers[0].failure, answers[0].message, answers[1].failure, answers[1].message)
	} else if diff := gocmp.Diff(answers[0].message, answers[1].message, protocmp.Transform()); diff != "" {
		a.t.Errorf("answered differently (-etcd +ours)\n%s", diff)
	}
}

// plain makes an answer of a response or an error.
func plain[M interface {
	proto.Message
	GetHeader() *pb.ResponseHeader
}](m M, err error) answer {
	if err != nil {
		s := status.Convert(err)
		return answer{failure: fmt.Sprintf("%s: %s", s.Code(), s.Message())}
	}
	if h := m.GetHeader(); h != nil {
		h.ClusterId, h.MemberId, h.RaftTerm = 0, 0, 0
	}
	return answer{message: m}
}

func (a *arena) op() {
	a.t.Helper()
	name := locks[a.rng.IntN(len(locks))]
	if a.rng.IntN(2) == 0 {
		name = offices[a.rng.IntN(len(offices))]
	}
	queue := a.queues[name]
	lock := strings.HasPrefix(name, "lock")
	var ops []func()
	can := func(possible bool, weight int, op func()) {
		for range weight {
			if possible {
				ops = append(ops, op)
			}
		}
	}
	some := len(queue) > 0
	can(len(queue) < 4, 3, func() {
		a.join(&contestant{name: name, lease: a.grant(), value: fmt.Sprint("v", a.rng.IntN(100))}, lock)
	})
	can(some, 1, func() { // the one who has it asks again
		again := &contestant{name: name, lease: queue[0].lease, value: queue[0].value}
		if !lock {
			again.value = fmt.Sprint("again", a.rng.IntN(100))
			queue[0].value = again.value
		}
		a.again(again, queue[0], lock)
	})
	can(some, 3, func() { a.leave(queue[0], lock) })
	can(some, 1, func() { a.revoke(queue[a.rng.IntN(len(queue))]) })
	can(len(queue) > 1, 1, func() { a.giveUp(queue[1+a.rng.IntN(len(queue)-1)], lock) })
	can(lock, 1, func() {
		a.say("unlock: nothing", "")
		a.both(func(side, node int) answer {
			return plain(a.lock[side][node].Unlock(a.t.Context(), &v3lockpb.UnlockRequest{Key: []byte("no/such/key")}))
		})
	})
	can(!lock && some, 2, func() { a.proclaim(queue[0].leader, fmt.Sprint("p", a.rng.IntN(100)), queue[0]) })
	can(!lock && len(a.lost) > 0, 2, func() {
		lost := a.lost[a.rng.IntN(len(a.lost))]
		if a.rng.IntN(2) == 0 {
			a.proclaim(lost, "too late", nil)
			return
		}
		a.say("resign: lost", "%s", lost.Key)
		a.resign(lost)
	})
	can(!lock, 2, func() { a.leaderOf(name) })
	can(true, 1, a.wrong)
	ops[a.rng.IntN(len(ops))]()
	a.observe()
}

// join starts to wait for a lock or an office.
func (a *arena) join(c *contestant, lock bool) {
	a.t.Helper()
	c.key = fmt.Sprintf("%s/%x", c.name, c.lease)
	a.queues[c.name] = append(a.queues[c.name], c)
	c.waited = len(a.queues[c.name]) > 1
	a.say("join", "%s lease %d", c.name, c.lease)
	a.call(c, lock)
	for i, st := range a.events {
		put := func() bool {
			return len(st.all) > 0 && slices.ContainsFunc(st.all[0].events, func(e *mvccpb.Event) bool { return string(e.Kv.Key) == c.key })
		}
		if !st.await(contestTimeout, put) {
			a.t.Fatalf("side %d: %s does not wait for %s", i, c.key, c.name)
		}
	}
	a.due(c.name, lock)
}

func (a *arena) call(c *contestant, lock bool) {
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(a.t.Context())
	node := a.rng.IntN(len(a.sides[1].Nodes))
	for i := range a.sides {
		c.answers[i] = make(chan answer, 1)
		at := node % len(a.sides[i].Nodes)
		go func() {
			if lock {
				c.answers[i] <- plain(a.lock[i][at].Lock(ctx, &v3lockpb.LockRequest{Name: []byte(c.name), Lease: c.lease}))
				return
			}
			c.answers[i] <- plain(a.office[i][at].Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte(c.name), Lease: c.lease,
				Value: []byte(c.value)}))
		}()
	}
}

// outcome awaits what both systems say to a contestant.
func (a *arena) outcome(c *contestant) answer {
	a.t.Helper()
	var answers [2]answer
	for i := range answers {
		select {
		case answers[i] = <-c.answers[i]:
		case <-time.After(contestTimeout):
			a.t.Fatalf("side %d: %s has not got %s", i, c.key, c.name)
		}
	}
	a.same(answers)
	return answers[0]
}

// due awaits the answer to whoever is first now.
func (a *arena) due(name string, lock bool) {
	a.t.Helper()
	for len(a.queues[name]) > 0 && !a.queues[name][0].done {
		c := a.queues[name][0]
		verb := "campaign"
		if lock {
			verb = "lock"
		}
		got := a.outcome(c)
		c.done = true
		switch {
		case c.expired:
			a.say(verb+": expired", "%s %s", c.key, got.failure)
			if lock && got.failure == "" {
				a.t.Errorf("%s got the lock without its lease", c.key)
			}
			a.queues[name] = a.queues[name][1:]
			continue
		case got.failure != "":
			a.t.Errorf("%s: %s", c.key, got.failure)
		case c.waited:
			a.say(verb+": after waiting", "%s", c.key)
		default:
			a.say(verb+": at once", "%s", c.key)
		}
		if r, ok := got.message.(*v3electionpb.CampaignResponse); ok {
			c.leader = r.Leader
		}
	}
}

func (a *arena) again(c, owner *contestant, lock bool) {
	a.t.Helper()
	verb := "campaign: again"
	if lock {
		verb = "lock: again"
	}
	a.say(verb, "%s", owner.key)
	a.call(c, lock)
	if got := a.outcome(c); got.failure != "" {
		a.t.Errorf("%s again: %s", owner.key, got.failure)
	}
}

// leave unlocks or resigns.
func (a *arena) leave(c *contestant, lock bool) {
	a.t.Helper()
	a.queues[c.name] = a.queues[c.name][1:]
	if lock {
		a.say("unlock", "%s", c.key)
		a.both(func(side, node int) answer {
			return plain(a.lock[side][node].Unlock(a.t.Context(), &v3lockpb.UnlockRequest{Key: []byte(c.key)}))
		})
	} else {
		a.say("resign", "%s", c.key)
		a.resign(c.leader)
		a.lost = append(a.lost, c.leader)
	}
	a.due(c.name, lock)
}

func (a *arena) resign(key *v3electionpb.LeaderKey) {
	a.t.Helper()
	a.both(func(side, node int) answer {
		return plain(a.office[side][node].Resign(a.t.Context(), &v3electionpb.ResignRequest{Leader: key}))
	})
}

// revoke takes the lease away: from the owner, who loses what it has, or from one who waits and will find out.
func (a *arena) revoke(c *contestant) {
	a.t.Helper()
	a.say("revoke", "%s", c.key)
	a.both(func(side, node int) answer {
		return a.sides[side].ask(node, 0, &pb.LeaseRevokeRequest{ID: c.lease})
	})
	lock := strings.HasPrefix(c.name, "lock")
	if c != a.queues[c.name][0] {
		if !lock { // a campaign does not notice: that is a contest with no winner to compare
			a.giveUpExpired(c)
			return
		}
		c.expired = true
		return
	}
	if c.leader != nil {
		a.lost = append(a.lost, c.leader)
	}
	a.queues[c.name] = a.queues[c.name][1:]
	a.due(c.name, lock)
}

// giveUpExpired ends the call of one who waits for an office without a lease.
func (a *arena) giveUpExpired(c *contestant) {
	c.cancel()
	for i := range c.answers {
		<-c.answers[i]
	}
	a.queues[c.name] = slices.DeleteFunc(a.queues[c.name], func(other *contestant) bool { return other == c })
}

// giveUp ends a call that waits: its key goes.
func (a *arena) giveUp(c *contestant, lock bool) {
	a.t.Helper()
	if c.expired {
		return
	}
	a.say(map[bool]string{true: "lock: canceled", false: "campaign: canceled"}[lock], "%s", c.key)
	a.giveUpExpired(c)
	for i, st := range a.events {
		gone := func() bool {
			return slices.ContainsFunc(st.all[0].events, func(e *mvccpb.Event) bool {
				return string(e.Kv.Key) == c.key && e.Type == mvccpb.Event_DELETE
			})
		}
		if !st.await(contestTimeout, gone) {
			a.t.Fatalf("side %d: %s still waits after its client has gone", i, c.key)
		}
	}
}

func (a *arena) proclaim(key *v3electionpb.LeaderKey, value string, owner *contestant) {
	a.t.Helper()
	kind := "proclaim"
	if owner == nil {
		kind = "proclaim: lost"
	} else {
		owner.value = value
	}
	a.say(kind, "%s = %s", key.GetKey(), value)
	got := a.both(func(side, node int) answer {
		return plain(a.office[side][node].Proclaim(a.t.Context(), &v3electionpb.ProclaimRequest{Leader: key, Value: []byte(value)}))
	})
	if (got.failure == "") != (owner != nil) {
		a.t.Errorf("proclaim by %v: %q", key, got.failure)
	}
}

func (a *arena) leaderOf(name string) {
	a.t.Helper()
	kind := "leader"
	if len(a.queues[name]) == 0 {
		kind = "leader: none"
	}
	a.say(kind, "%s", name)
	a.both(func(side, node int) answer {
		return plain(a.office[side][node].Leader(a.t.Context(), &v3electionpb.LeaderRequest{Name: []byte(name)}))
	})
}

// wrong asks what cannot be granted.
func (a *arena) wrong() {
	a.t.Helper()
	a.say("wrong", "")
	ctx := a.t.Context()
	requests := []func(side, node int) answer{
		func(s, n int) answer {
			return plain(a.lock[s][n].Lock(ctx, &v3lockpb.LockRequest{Name: []byte("lock/x"), Lease: 1 << 40}))
		},
		func(s, n int) answer {
			return plain(a.office[s][n].Campaign(ctx, &v3electionpb.CampaignRequest{Name: []byte("office/x"), Lease: 1 << 40}))
		},
		func(s, n int) answer { return plain(a.office[s][n].Proclaim(ctx, &v3electionpb.ProclaimRequest{})) },
		func(s, n int) answer { return plain(a.office[s][n].Resign(ctx, &v3electionpb.ResignRequest{})) },
		func(s, n int) answer { return plain(a.lock[s][n].Unlock(ctx, &v3lockpb.UnlockRequest{})) },
		func(s, n int) answer { return plain(a.office[s][n].Leader(ctx, &v3electionpb.LeaderRequest{})) },
	}
	a.both(requests[a.rng.IntN(len(requests))])
}

// observe: whoever holds the first office now, with what it proclaimed last, has been seen by both observers. Its header
// is not compared: it may be that of a read or of a watch.
func (a *arena) observe() {
	a.t.Helper()
	queue := a.queues[offices[0]]
	if len(queue) == 0 || !queue[0].done {
		return
	}
	now := queue[0].key + "=" + queue[0].value
	if now == a.shown {
		return
	}
	var last [2]*mvccpb.KeyValue
	for i := range a.seen {
		for last[i] == nil || string(last[i].Key)+"="+string(last[i].Value) != now {
			select {
			case r := <-a.seen[i]:
				last[i] = r.Kv
			case <-time.After(contestTimeout):
				a.t.Fatalf("side %d: the observer does not see %s, last %v", i, now, last[i])
			}
		}
	}
	a.counts["observed"]++
	if !proto.Equal(last[0], last[1]) {
		a.t.Errorf("observed %v and %v", last[0], last[1])
	}
	a.shown = now
}
