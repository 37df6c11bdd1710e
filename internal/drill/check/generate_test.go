package check

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// generator makes histories as a correct cluster would: clients whose requests overlap take effect at one moment between
// their beginning and their end, or never, or after the client has given up. Members lag, watchers reconnect, leases live
// and end, and others write to the store as well.
type generator struct {
	rng      *rand.Rand
	h        *history.History
	queue    timed
	seq      int
	now, end time.Duration
	revision int64
	keys     map[string][]history.Event // all changes, per key
	changes  []history.Event
	shown    map[string]int64 // the newest revision that a member has shown
	leases   map[int64]*simLease
	flying   []*history.Op
}

type simLease struct {
	l        *history.Lease
	deadline time.Duration
	over     bool
}

const prefix = "drill/"

// generate makes a history of about so many requests.
func generate(seed uint64, requests int) *history.History {
	rng := rand.New(rand.NewPCG(seed, 17))
	g := &generator{
		rng: rng, keys: map[string][]history.Event{}, shown: map[string]int64{}, leases: map[int64]*simLease{},
		h:        &history.History{Prefix: prefix, Members: []string{"n1", "n2", "n3"}, Dumps: map[string][]history.Event{}},
		revision: 1 + rng.Int64N(100),
	}
	g.h.First = g.revision
	const clients = 8
	const pace = 60 * time.Millisecond
	g.end = time.Duration(requests) * pace / clients
	for client := range clients {
		g.after(g.upTo(pace), func() { g.request(client, pace) })
	}
	for range max(1, requests/50) {
		g.after(g.upTo(g.end/2), g.lease)
	}
	for watcher := range 4 {
		g.after(g.upTo(time.Second), func() { g.watch(watcher, g.h.First+1) })
	}
	g.after(0, func() { g.poll(1, 2) })
	g.after(0, g.others)
	for len(g.queue) > 0 && g.queue[0].at < g.end {
		e := heap.Pop(&g.queue).(event)
		g.now = e.at
		e.do()
	}
	g.finish()
	return g.h
}

func (g *generator) upTo(d time.Duration) time.Duration {
	return 1 + time.Duration(g.rng.Int64N(int64(d)))
}
func (g *generator) member() string { return g.h.Members[g.rng.IntN(3)] }
func (g *generator) after(d time.Duration, do func()) {
	g.seq++
	heap.Push(&g.queue, event{g.now + d, g.seq, do})
}

// others write outside the prefix.
func (g *generator) others() {
	g.revision++
	g.after(g.upTo(500*time.Millisecond), g.others)
}

// request is one request of a client, and then its next.
func (g *generator) request(client int, pace time.Duration) {
	op := &history.Op{
		Client: client, Member: g.member(), Begin: g.now, Key: fmt.Sprintf("%sk%d", prefix, g.rng.IntN(6)),
		Kind: []history.Kind{history.Put, history.Put, history.Get, history.Get, history.Stale, history.Swap, history.Swap,
			history.Delete}[g.rng.IntN(8)],
	}
	if ids := g.living(); len(ids) > 0 && g.rng.IntN(6) == 0 {
		l := g.leases[ids[g.rng.IntN(len(ids))]]
		op.Key = l.l.Key
		if g.rng.IntN(2) == 0 {
			op.Key += "+"
		}
		if op.Kind == history.Put && g.rng.IntN(4) > 0 {
			op.Lease = l.l.ID
		}
	}
	if op.Kind == history.Swap && g.rng.IntN(4) > 0 {
		op.Expected = mod(g.at(op.Key, g.revision))
	}
	g.send(op, func() { g.after(g.upTo(pace/2), func() { g.request(client, pace) }) })
}

func (g *generator) living() []int64 {
	var ids []int64
	for i := range g.h.Leases {
		if id := g.h.Leases[i].ID; !g.leases[id].over {
			ids = append(ids, id)
		}
	}
	return ids
}

// send has a request take effect and be answered, or not.
func (g *generator) send(op *history.Op, then func()) {
	g.seq++
	op.ID = g.seq
	if op.Kind == history.Put || op.Kind == history.Swap {
		op.Value = fmt.Sprintf("v%d", op.ID)
	}
	g.flying = append(g.flying, op)
	done := func(o history.Outcome, err string) {
		g.flying = slices.DeleteFunc(g.flying, func(o *history.Op) bool { return o == op })
		op.End, op.Outcome, op.Error = g.now, o, err
		if o != history.OK {
			op.Revision, op.Applied, op.Found, op.ModRevision = 0, false, "", 0
		}
		g.h.Ops = append(g.h.Ops, *op)
		then()
	}
	switch effect := g.upTo(40 * time.Millisecond); {
	case g.rng.IntN(15) == 0:
		g.after(effect, func() { done(history.Refused, "no leader") })
	case g.rng.IntN(10) == 0:
		if g.rng.IntN(2) == 0 {
			copied := *op
			g.after(g.upTo(300*time.Millisecond), func() { g.apply(&copied) })
		}
		g.after(effect, func() { done(history.Unknown, "deadline exceeded") })
	default:
		g.after(effect, func() {
			ok := g.apply(op)
			g.after(g.upTo(20*time.Millisecond), func() {
				if !ok {
					done(history.Refused, "lease not found")
					return
				}
				done(history.OK, "")
			})
		})
	}
}

// apply does what a request asks for.
func (g *generator) apply(op *history.Op) bool {
	now, found := g.at(op.Key, g.revision)
	read := func() { op.Found, op.ModRevision = now.Value, mod(now, found) }
	switch op.Kind {
	case history.Put:
		if l := g.leases[op.Lease]; l != nil && l.over {
			return false
		}
		g.record(history.Event{Key: op.Key, Value: op.Value, Lease: op.Lease})
	case history.Swap:
		if op.Applied = op.Expected == mod(now, found); op.Applied {
			g.record(history.Event{Key: op.Key, Value: op.Value})
		} else {
			read()
		}
	case history.Delete:
		if op.Applied = found; found {
			g.record(history.Event{Key: op.Key, Deleted: true})
		}
	case history.Get:
		read()
	case history.Stale:
		op.Revision = g.shown[op.Member] + g.rng.Int64N(g.revision-g.shown[op.Member]+1)
		if g.shown[op.Member] == 0 {
			op.Revision = g.revision
		}
		now, found = g.at(op.Key, op.Revision)
		read()
		g.shown[op.Member] = op.Revision
		return true
	}
	op.Revision, g.shown[op.Member] = g.revision, g.revision
	return true
}

func mod(e history.Event, found bool) int64 {
	if !found {
		return 0
	}
	return e.Revision
}

func (g *generator) at(key string, revision int64) (history.Event, bool) {
	all := g.keys[key]
	n := sort.Search(len(all), func(i int) bool { return all[i].Revision > revision })
	if n == 0 {
		return history.Event{}, false
	}
	return all[n-1], !all[n-1].Deleted
}

// record makes one revision of changes.
func (g *generator) record(changes ...history.Event) {
	g.revision++
	for _, e := range changes {
		e.Revision = g.revision
		if !e.Deleted {
			e.Created, e.Version = g.revision, 1
			if old, found := g.at(e.Key, g.revision); found {
				e.Created, e.Version = old.Created, old.Version+1
			}
		}
		g.keys[e.Key] = append(g.keys[e.Key], e)
		g.changes = append(g.changes, e)
	}
}

// lease is granted, renewed for a while, and ends.
func (g *generator) lease() {
	asked := g.now
	g.after(g.upTo(20*time.Millisecond), func() {
		granted := g.now
		g.after(g.upTo(20*time.Millisecond), func() {
			id := int64(0x1000 + len(g.h.Leases))
			ttl := time.Duration(1+g.rng.IntN(3)) * time.Second
			g.h.Leases = append(g.h.Leases, history.Lease{
				ID: id, TTL: ttl, Key: fmt.Sprintf("%sl%x", prefix, id), Asked: asked, Granted: g.now,
			})
			g.leases[id] = &simLease{deadline: granted + ttl}
			g.leases[id].l = &history.Lease{ID: id, TTL: ttl, Key: fmt.Sprintf("%sl%x", prefix, id)}
			for _, key := range []string{"", "+"} {
				g.send(&history.Op{
					Client: 100, Member: g.member(), Begin: g.now, Kind: history.Put, Key: g.leases[id].l.Key + key, Lease: id,
				}, func() {})
			}
			g.expire(id)
			g.renew(len(g.h.Leases)-1, 2+g.rng.IntN(8))
		})
	})
}

func (g *generator) expire(id int64) {
	l := g.leases[id]
	g.after(max(1, l.deadline-g.now)+g.upTo(time.Second), func() {
		if g.now < l.deadline {
			g.expire(id)
			return
		}
		l.over = true
		var gone []history.Event
		for _, key := range []string{l.l.Key, l.l.Key + "+"} {
			if e, found := g.at(key, g.revision); found && e.Lease == id {
				gone = append(gone, history.Event{Key: key, Deleted: true})
			}
		}
		if len(gone) > 0 {
			g.record(gone...)
		}
	})
}

func (g *generator) renew(i, more int) {
	l := &g.h.Leases[i]
	s := g.leases[l.ID]
	g.after(l.TTL/3, func() {
		r := history.Renewal{Member: g.member(), Begin: g.now}
		lost := g.rng.IntN(8) == 0
		g.after(g.upTo(20*time.Millisecond), func() {
			if !lost || g.rng.IntN(2) == 0 {
				r.Gone = s.over
				if r.Confirmed = !s.over; r.Confirmed {
					s.deadline = g.now + s.l.TTL
				}
			}
			g.after(g.upTo(20*time.Millisecond), func() {
				if r.End = g.now; lost {
					r.Confirmed, r.Gone, r.Error = false, false, "deadline exceeded"
				}
				g.h.Leases[i].Renewals = append(g.h.Leases[i].Renewals, r)
				if more > 0 && !r.Gone {
					g.renew(i, more-1)
				}
				if more == 0 && !r.Gone && g.rng.IntN(2) == 0 { // once more, when it is long over
					g.after(s.l.TTL*2+2*time.Second, func() { g.renew(i, -1) })
				}
			})
		})
	})
}

// watch is one connection of a watcher, and then its next.
func (g *generator) watch(watcher int, from int64) {
	w := history.Watch{Watcher: watcher, Member: g.member(), Prefix: prefix, From: from, Begin: g.now}
	if watcher == 3 {
		w.Prefix += "l"
	}
	if g.rng.IntN(4) == 0 && from > g.h.First+3 {
		w.From -= 3
	}
	g.deliver(w, w.From, 2+g.rng.IntN(10))
}

func (g *generator) deliver(w history.Watch, next int64, more int) {
	closed := func() {
		w.End = g.now
		g.h.Watches = append(g.h.Watches, w)
	}
	g.after(g.upTo(300*time.Millisecond), func() {
		upTo := next + g.rng.Int64N(max(1, g.revision-next+1))
		b := history.Batch{At: g.now, Revision: g.revision}
		due := sort.Search(len(g.changes), func(i int) bool { return g.changes[i].Revision >= next })
		for _, e := range g.changes[due:] {
			if e.Revision <= min(upTo, g.revision) && strings.HasPrefix(e.Key, w.Prefix) {
				e.At = g.now
				b.Events = append(b.Events, e)
			}
		}
		if n := len(b.Events); n > 0 {
			next = b.Events[n-1].Revision + 1
			w.Batches = append(w.Batches, b)
		}
		if b.Revision = min(upTo, g.revision); g.rng.IntN(2) == 0 && next <= b.Revision {
			b.Events, next = nil, b.Revision+1
			w.Batches = append(w.Batches, b)
		}
		if more > 0 && g.now < g.end-2*time.Second {
			g.deliver(w, next, more-1)
			return
		}
		closed()
		if g.now < g.end-2*time.Second {
			g.watch(w.Watcher, next)
		}
	})
}

func (g *generator) poll(leader, term uint64) {
	if g.rng.IntN(20) == 0 {
		leader, term = 1+g.rng.Uint64N(3), term+1+g.rng.Uint64N(2)
	}
	for id := uint64(1); id <= 3; id++ {
		g.h.Polls = append(g.h.Polls, history.Poll{At: g.now, Member: fmt.Sprintf("n%d", id), ID: id, Leader: leader, Term: term})
	}
	g.h.Claims = append(g.h.Claims, history.Claim{Member: g.member(), Leader: leader, Term: term})
	g.after(g.upTo(time.Second), func() { g.poll(leader, term) })
}

// finish reads what there is in the end.
func (g *generator) finish() {
	h := g.h
	for _, op := range g.flying {
		op.End, op.Outcome, op.Error = g.end, history.Unknown, "the drill is over"
		op.Revision, op.Applied, op.Found, op.ModRevision = 0, false, "", 0
		h.Ops = append(h.Ops, *op)
	}
	h.Last, h.Truth = g.revision, slices.Clone(g.changes)
	for _, member := range h.Members {
		h.Dumps[member] = []history.Event{}
		for _, key := range sortedKeys(g.keys) {
			if e, found := g.at(key, g.revision); found {
				h.Dumps[member] = append(h.Dumps[member], e)
			}
		}
		h.Hashes = append(h.Hashes, history.Hash{Member: member, Revision: h.Last, Compact: 1, Hash: 0xabc})
	}
}

// compact has somebody compact the store in the middle of a history.
func compact(h *history.History) {
	h.Compacted = (h.First + h.Last) / 2
	h.Truth = slices.DeleteFunc(h.Truth, func(e history.Event) bool { return e.Revision <= h.Compacted })
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// timed is a queue of what happens, by time.
type timed []event

type event struct {
	at  time.Duration
	seq int
	do  func()
}

func (q timed) Len() int { return len(q) }
func (q timed) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q timed) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *timed) Push(x any)   { *q = append(*q, x.(event)) }
func (q *timed) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}
