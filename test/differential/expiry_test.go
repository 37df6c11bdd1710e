package differential

import (
	"fmt"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// expirySlack is how much later than its TTL a lease may end. etcd looks every half second, and so may we.
const expirySlack = 3 * time.Second

// shortLease is a lease that ends in the test.
type shortLease struct {
	id, ttl   int64
	keys      []string
	keepAlive time.Duration // renewed for so long
}

var shortLeases = []shortLease{
	{id: 1, ttl: 1, keys: []string{"one/b", "one/a", "one/c"}}, // less than the minimum
	{id: 2, ttl: 0, keys: []string{"two"}},
	{id: 3, ttl: -5},
	{id: 4, ttl: 2, keys: []string{"four/1", "four/2"}},
	{id: 5, ttl: 4, keys: []string{"five"}},
	{id: 6, ttl: 2, keys: []string{"six/1", "six/0"}, keepAlive: 5 * time.Second},
	{id: 7, ttl: 3}, // its only key moves to lease 5
	{id: 8, ttl: 3}, // its only key is put again without a lease
}

// TestShortLeases lets leases expire on both systems: the same TTLs, the keys of each gone in one revision, in order, not
// before the TTL and not much later.
func TestShortLeases(t *testing.T) {
	systems := []*processes{
		start(t, cluster.Config{Nodes: 1, Program: cluster.Etcd(t), Flags: etcdFlags}),
		start(t, cluster.Config{}),
	}
	var outcomes [2][]string
	t.Run("group", func(t *testing.T) {
		for i, p := range systems {
			t.Run(fmt.Sprint(i, p.Program.Name), func(t *testing.T) {
				t.Parallel()
				outcomes[i] = expire(t, p)
			})
		}
	})
	if !t.Failed() && !slices.Equal(outcomes[0], outcomes[1]) {
		t.Errorf("etcd:\n%q\n%s:\n%q", outcomes[0], systems[1].Program.Name, outcomes[1])
	}
}

// expire returns what happened, without what depends on the order of the leases.
func expire(t *testing.T, p *processes) (outcome []string) {
	say := func(format string, args ...any) { outcome = append(outcome, fmt.Sprintf(format, args...)) }
	st, err := openStream(p.endpoints[len(p.Nodes)-1][0], len(p.Nodes)-1)
	if err != nil {
		t.Fatal(err)
	}
	defer st.cancel()
	go st.receive()
	if err := st.create(&pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: 1}, 0); err != nil {
		t.Fatal(err)
	}
	ask := func(i int, request any) answer {
		a := p.ask(i%p.nodes(), 0, request)
		if a.failure != "" {
			t.Fatalf("%T: %s", request, a.failure)
		}
		return a
	}
	begun := map[int64]time.Time{} // no later than the last renewal
	granted := map[int64]time.Duration{}
	puts := 0
	put := func(i int, key string, lease int64) {
		ask(i, &pb.PutRequest{Key: []byte(key), Lease: lease})
		puts++
	}
	for i, l := range shortLeases {
		begun[l.id] = time.Now()
		ttl := ask(i, &pb.LeaseGrantRequest{ID: l.id, TTL: l.ttl}).message.(*pb.LeaseGrantResponse).TTL
		granted[l.id] = time.Duration(ttl) * time.Second
		say("lease %d: %d s", l.id, ttl)
		for _, key := range l.keys {
			put(i, key, l.id)
		}
	}
	put(1, "moved", 7)
	put(2, "moved", 5)
	put(1, "free", 8)
	put(2, "free", 0)
	owner := map[string]int64{"moved": 5}
	for _, l := range shortLeases {
		for _, key := range l.keys {
			owner[key] = l.id
		}
		for end := time.Now().Add(l.keepAlive); l.keepAlive > 0 && time.Now().Before(end); {
			at := time.Now()
			if ttl := ask(int(at.UnixNano()), &pb.LeaseKeepAliveRequest{ID: l.id}).message.(*pb.LeaseKeepAliveResponse).TTL; ttl == 0 {
				t.Fatalf("lease %d died while it was kept alive", l.id)
			}
			begun[l.id] = at
			time.Sleep(granted[l.id] / 4) // as a client's keep-alive does
		}
	}
	seen := func() []*mvccpb.Event {
		if len(st.all) == 0 {
			return nil
		}
		return st.all[0].events
	}
	if !st.await(30*time.Second, func() bool { return len(seen()) == puts+len(owner) }) {
		t.Fatalf("%d deletions within 30 s, want %d: %q", len(seen())-puts, len(owner), st.faults)
	}
	revisions := map[int64][]string{}
	died := map[int64]int64{}
	for _, e := range seen()[puts:] {
		key := string(e.Kv.Key)
		if e.Type != mvccpb.Event_DELETE || owner[key] == 0 {
			t.Errorf("%v", e)
		}
		revisions[e.Kv.ModRevision] = append(revisions[e.Kv.ModRevision], key)
		if at, twice := died[owner[key]]; twice && at != e.Kv.ModRevision {
			t.Errorf("keys of lease %d go at revisions %d and %d", owner[key], at, e.Kv.ModRevision)
		}
		died[owner[key]] = e.Kv.ModRevision
	}
	for _, l := range shortLeases {
		say("lease %d took %q", l.id, revisions[died[l.id]])
		if a := ask(0, &pb.LeaseTimeToLiveRequest{ID: l.id}).message.(*pb.LeaseTimeToLiveResponse); a.TTL >= 0 {
			t.Errorf("lease %d has %d s left at the end", l.id, a.TTL)
		}
		if l.keys == nil {
			continue
		}
		age := st.at(died[l.id]).Sub(begun[l.id])
		if age < granted[l.id] || age > granted[l.id]+expirySlack {
			t.Errorf("lease %d of %v ended after %v", l.id, granted[l.id], age)
		}
	}
	for _, key := range []string{"free", "moved"} {
		n := len(ask(1, &pb.RangeRequest{Key: []byte(key)}).message.(*pb.RangeResponse).Kvs)
		say("%s is there %d times", key, n)
	}
	return outcome
}
