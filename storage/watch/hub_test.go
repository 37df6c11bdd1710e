package watch

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// TestHub lets many watchers on several streams follow a store that changes, is flushed, compacted and replaced by a
// snapshot, with clients that are slow, and checks each watcher against the full history.
func TestHub(t *testing.T) {
	for range 40 {
		seed := rand.Uint64()
		if s := os.Getenv("QUORUMKV_SEED"); s != "" {
			var err error
			if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("repeat with: QUORUMKV_SEED=%d go test ./storage/watch -run '^TestHub$'", seed)
				}
			}()
			w := newWorld(t, rand.New(rand.NewPCG(seed, 1)))
			for range 600 {
				w.step()
			}
			w.settle()
		})
	}
}

// world is a store with a hub and clients.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	db      *backend.DB
	store   *mvcc.Store
	hub     *Hub
	now     time.Duration
	history []mvcc.Event // ever
	clients []*client
	timers  []timer
	// suspended says that nobody may be given work.
	suspended bool
}

type timer struct {
	at time.Duration
	f  func()
}

func (w *world) after(d time.Duration, f func()) func() {
	w.timers = append(w.timers, timer{w.now + d, f})
	return func() { w.t.Fatal("the hub stops no timer") }
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.now += d
	due := slices.Clone(w.timers)
	w.timers = slices.DeleteFunc(w.timers, func(t timer) bool { return t.at <= w.now })
	for _, t := range due {
		if t.at <= w.now {
			t.f()
		}
	}
}

// client is a stream and what its owner knows.
type client struct {
	w       *world
	stream  *Stream
	work    *Work // given and not yet carried out
	open    map[int64]*followed
	created []*followed // replies to come, in order
	asks    int         // for progress, not answered yet: some may be answered together
	wanted  int64       // the revision of the last one, 0 once it is answered
}

// followed is a watcher as its client sees it.
type followed struct {
	spec   Spec
	id     int64
	next   int64 // lowest revision that may still come
	events int   // of the history, those already seen or skipped
}

func newWorld(t *testing.T, rng *rand.Rand) *world {
	fs := memfs.New(1, t.TempDir())
	db, err := backend.Create(fs, "state", backend.Options{MapBytes: 1 << 24, NoSync: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &world{t: t, rng: rng, db: db}
	w.load()
	w.hub = NewHub(func() time.Duration { return 50 * time.Millisecond }, w.after)
	w.advance()
	return w
}

func (w *world) load() {
	var err error
	if w.store, err = mvcc.Open(w.db, mvcc.Recent{Rows: w.rng.IntN(20) - 1, Bytes: w.rng.IntN(2000) - 1}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) key() string { return []string{"a", "ab", "abc", "b", "c\xff", "d"}[w.rng.IntN(6)] }

func (w *world) step() {
	switch d := w.rng.IntN(100); {
	case d < 30:
		w.write()
		w.advance()
	case d < 35:
		w.flush()
		w.advance()
	case d < 37:
		if err := w.store.Compact(w.store.Revision() - w.rng.Int64N(20)); err == nil {
			w.advance()
			w.store.CompactStep(w.rng.IntN(100))
			w.flush()
		}
	case d < 38: // what a snapshot does: the hub sees nothing of some revisions, and the overlay is empty
		for range w.rng.IntN(10) {
			w.write()
		}
		w.flush()
		w.load()
		w.advance()
	case d < 42 && len(w.clients) < 5:
		c := &client{w: w, open: map[int64]*followed{}}
		c.stream = w.hub.Open(func(work *Work) {
			if w.suspended {
				w.t.Fatal("a stream got work while the view was not to be trusted")
			}
			if c.work != nil {
				w.t.Fatal("a stream got work while it was busy")
			}
			c.work = work
		})
		w.clients = append(w.clients, c)
	case d < 43 && len(w.clients) > 0:
		i := w.rng.IntN(len(w.clients))
		w.clients[i].stream.Close()
		w.clients = slices.Delete(w.clients, i, i+1)
	case d < 45:
		w.hub.Suspend()
		w.suspended = true
	case d < 55:
		w.pass(10 * time.Millisecond)
		w.hub.Tick(w.now)
	case len(w.clients) > 0:
		w.clients[w.rng.IntN(len(w.clients))].step()
	}
}

func (w *world) advance() {
	w.suspended = false
	w.hub.Advance(w.store.View())
}

func (w *world) write() {
	txn := w.store.Begin()
	key := w.key()
	switch w.rng.IntN(6) {
	case 0:
		txn.DeleteRange([]byte(key), nil)
	case 1:
		txn.DeleteRange([]byte("a"), []byte("b"))
		txn.Put([]byte("b"), []byte("x"), 0)
	default:
		txn.Put([]byte(key), make([]byte, w.rng.IntN(50)), 0)
	}
	w.history = append(w.history, txn.Changes()...)
	txn.End()
}

func (w *world) flush() {
	var b backend.Batch
	w.store.Seal().AddTo(&b)
	if err := w.db.Commit(&b); err != nil {
		w.t.Fatal(err)
	}
	w.store.Flushed()
}

func (c *client) step() {
	rng := c.w.rng
	switch d := rng.IntN(10); {
	case d < 2:
		c.create()
	case d < 3 && len(c.open) > 0:
		ids := make([]int64, 0, len(c.open))
		for id := range c.open {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		c.stream.Cancel(ids[rng.IntN(len(ids))])
		c.forget()
	case d < 4:
		if c.stream.AskProgress(); len(c.stream.watchers) > 0 {
			c.asks, c.wanted = c.asks+1, c.w.store.Revision()
		}
	case c.work != nil:
		c.carryOut()
	}
}

func (c *client) create() {
	rng, rev := c.w.rng, c.w.store.Revision()
	s := Spec{Key: c.w.key()}
	for o, rarity := range []int{6, 6, 3, 2} {
		if rng.IntN(rarity) == 0 {
			s.Options |= NoPut << o
		}
	}
	s.End = []string{"", "", prefixEnd(s.Key), "\x00", "zz", "a"}[rng.IntN(6)]
	if rng.IntN(2) == 0 {
		s.Start = max(0, rev-5+rng.Int64N(10))
	}
	id := rng.Int64N(12)
	f := &followed{spec: s, id: id, next: s.Start}
	if s.Start == 0 {
		f.next = rev + 1
	}
	c.created = append(c.created, f)
	c.stream.Create(id, s)
}

// carryOut does the work that the stream was given, and reports it.
func (c *client) carryOut() {
	t, work := c.w.t, c.work
	c.work = nil
	for _, r := range work.Replies {
		switch {
		case r.Err != nil:
			if r.ID != NoWatcher || !r.Created || !r.Canceled {
				t.Fatalf("refused with %+v", r)
			}
			c.created = c.created[1:]
		case r.Created:
			f := c.created[0]
			c.created = c.created[1:]
			if f.id != 0 && f.id != r.ID || c.open[r.ID] != nil {
				t.Fatalf("asked for id %d, got %d", f.id, r.ID)
			}
			c.open[r.ID] = f
		default:
			delete(c.open, r.ID)
		}
	}
	responses, err := Collect(work, 1+c.w.rng.IntN(300))
	if err != nil {
		t.Fatal(err)
	}
	if work.View != nil {
		t.Fatal("work that is collected holds on to a view")
	}
	for _, r := range responses {
		c.receive(r)
	}
	c.stream.Done(work)
	c.forget()
}

// forget: with the last watcher goes what was asked about all of them.
func (c *client) forget() {
	if len(c.stream.watchers) == 0 {
		c.wanted = 0
	}
}

func (c *client) receive(r Response) {
	t := c.w.t
	if r.ID == NoWatcher {
		if c.asks--; c.asks < 0 {
			t.Fatal("progress that nobody asked for")
		}
		if len(c.open) == 0 {
			t.Fatal("progress of a stream without a watcher")
		}
		if r.Revision >= c.wanted {
			c.wanted = 0
		}
		for _, f := range c.open {
			f.upTo(c, r.Revision)
		}
		return
	}
	f := c.open[r.ID]
	switch {
	case f == nil:
		t.Fatalf("response for watcher %d, which is not open", r.ID)
	case r.Compacted > 0:
		if f.next >= r.Compacted {
			t.Fatalf("watcher at %d ended by a compaction at %d", f.next, r.Compacted)
		}
		delete(c.open, r.ID)
	case len(r.Events) == 0:
		f.upTo(c, r.Revision)
	}
	for i, e := range r.Events {
		if e.Rev.Main < f.next {
			t.Fatalf("watcher at %d gets an event of %v", f.next, e.Rev)
		}
		want := f.find(c)
		if want == nil || want.Rev != e.Rev || string(want.KV.Key) != string(e.KV.Key) || want.Delete != e.Delete {
			t.Fatalf("watcher %+v gets %v %s, want %v", f.spec, e.Rev, e.KV.Key, want)
		}
		f.events++
		c.checkPrev(f, e)
		if i == len(r.Events)-1 {
			f.next = e.Rev.Main + 1
			if more := f.find(c); more != nil && more.Rev.Main == e.Rev.Main {
				t.Fatalf("revision %d is split", e.Rev.Main)
			}
		}
	}
}

func (c *client) checkPrev(f *followed, e Event) {
	var want *mvcc.Event
	for i := range c.w.history {
		h := &c.w.history[i]
		if h.Rev.Compare(e.Rev) < 0 && string(h.KV.Key) == string(e.KV.Key) {
			want = h
		}
	}
	switch {
	case e.Prev == nil && (!f.spec.Has(PrevKV) || want == nil || want.Delete || e.Rev.Main-1 < c.w.store.CompactRevision()): // none, or compacted
	case e.Prev == nil || want == nil || want.Delete || e.Prev.ModRevision != want.Rev.Main:
		c.w.t.Fatalf("event %v of %s comes with %v before it, want %v", e.Rev, e.KV.Key, e.Prev, want)
	}
}

// find is the next event that the watcher must see.
func (f *followed) find(c *client) *mvcc.Event {
	for ; f.events < len(c.w.history); f.events++ {
		if e := &c.w.history[f.events]; (f.spec.Start == 0 && e.Rev.Main >= f.next || f.spec.Start > 0 && e.Rev.Main >= f.spec.Start) && f.spec.wants(e) {
			return e
		}
	}
	return nil
}

// upTo hears that everything up to a revision was given.
func (f *followed) upTo(c *client, revision int64) {
	if e := f.find(c); e != nil && e.Rev.Main <= revision {
		c.w.t.Fatalf("watcher %+v is told of progress up to %d before it got %v", f.spec, revision, e.Rev)
	}
	if revision+1 < f.spec.Start {
		c.w.t.Fatalf("watcher from %d is told of progress at %d", f.spec.Start, revision)
	}
	f.next = max(f.next, revision+1)
}

// settle lets everybody finish, and then nobody may lack an event.
func (w *world) settle() {
	w.advance()
	for again := true; again; {
		again = len(w.timers) > 0
		w.pass(longestRest)
		for _, c := range w.clients {
			if c.work != nil {
				c.carryOut()
				again = true
			}
		}
	}
	open := 0
	for _, c := range w.clients {
		open += len(c.open)
		for id, f := range c.open {
			if e := f.find(c); e != nil {
				w.t.Fatalf("watcher %d, %+v, lacks %v", id, f.spec, e.Rev)
			}
		}
		if c.wanted > 0 && w.store.Revision()+1 >= c.stream.latest && len(c.open) > 0 {
			w.t.Fatal("a request for progress has no answer")
		}
	}
	if w.hub.Watchers() != open {
		w.t.Fatalf("hub counts %d watchers, clients %d", w.hub.Watchers(), open)
	}
}

// TestRest: the watchers of a stream get an event at once, what follows it together, and answers at any time.
func TestRest(t *testing.T) {
	w := newWorld(t, rand.New(rand.NewPCG(1, 1)))
	var given []*Work
	s := w.hub.Open(func(work *Work) { given = append(given, work) })
	finish := func() (responses []Response) {
		t.Helper()
		if len(given) != 1 {
			t.Fatalf("%d pieces of work, want 1", len(given))
		}
		work := given[0]
		given = nil
		responses, err := Collect(work, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		s.Done(work)
		return responses
	}
	put := func() {
		txn := w.store.Begin()
		txn.Put([]byte("k"), nil, 0)
		txn.End()
		w.advance()
	}
	const watchers = 100
	for range watchers {
		s.Create(0, Spec{Key: "k"})
	}
	finish() // the answer to the first
	finish() // to the others
	put()
	if n := len(finish()); n != watchers {
		t.Fatalf("%d responses at the first event, want %d", n, watchers)
	}
	put()
	put()
	if len(given) != 0 {
		t.Fatal("a stream that rests gets work")
	}
	w.pass(watchers * restPerResponse)
	if r := finish(); len(r) != watchers || len(r[0].Events) != 2 {
		t.Fatalf("%d responses after the rest, the first with %d events; want %d with 2", len(r), len(r[0].Events), watchers)
	}
	put()
	s.AskProgress()
	if r := finish(); len(r) != watchers+1 || r[watchers].ID != NoWatcher {
		t.Fatalf("%d responses to a request for progress, want %d, progress last", len(r), watchers+1)
	}
	w.pass(longestRest)
	if len(given) != 0 || len(w.timers) != 0 {
		t.Fatal("something is left")
	}
}

// TestProgressOfTheFuture: an answer that has to wait for a revision comes with it, whatever key it changes.
func TestProgressOfTheFuture(t *testing.T) {
	w := newWorld(t, rand.New(rand.NewPCG(1, 1)))
	var given *Work
	s := w.hub.Open(func(work *Work) { given = work })
	responses := func() (all []Response) {
		t.Helper()
		for given != nil {
			work := given
			given = nil
			r, err := Collect(work, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r...)
			s.Done(work)
		}
		return all
	}
	s.Create(0, Spec{Key: "k", Start: w.store.Revision() + 2})
	responses()
	s.AskProgress()
	if r := responses(); len(r) != 0 {
		t.Fatalf("%d responses before the watcher's start", len(r))
	}
	txn := w.store.Begin()
	txn.Put([]byte("another"), nil, 0)
	txn.End()
	w.advance()
	if r := responses(); len(r) != 1 || r[0].ID != NoWatcher {
		t.Fatalf("responses %+v when the store is where the watcher starts, want one about progress", r)
	}
}
