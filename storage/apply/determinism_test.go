package apply

import (
	"errors"
	"flag"
	"math/rand/v2"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the randomised tests; 0 draws one")

// random returns a source of randomness and says how to repeat the test.
func random(t *testing.T) *rand.Rand {
	seed := *seedFlag
	for seed == 0 {
		seed = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat: go test ./storage/apply -run '^%s$' -seed %d", t.Name(), seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// Replicas that are asked by different clients, flush, compact and restart at different times, and get their entries in
// different portions, end in the same state.
func TestReplicasAgree(t *testing.T) {
	rng := random(t)
	for range 20 {
		entries := (&generator{Rand: rng}).history(400)
		lazy := newRig(t, RequestID{})
		lazy.replay(entries)
		for _, self := range []RequestID{{Member: 1}, {Member: 2, Epoch: 1}, {Member: 0xffee}} {
			eager := newRig(t, self)
			for {
				applied, _ := eager.m.Applied()
				next := int(applied - 1)
				if next == len(entries) {
					break
				}
				eager.replay(entries[:min(len(entries), next+1+rng.IntN(20))])
				switch rng.IntN(12) {
				case 0, 1:
					eager.flush()
				case 2, 3:
					eager.m.CompactStep()
				case 4:
					eager.reopen()
				case 5:
					eager.flush()
					eager.reopen()
				case 6, 7, 8:
					eager.flushStep(nil)
				case 9:
					eager.flushStep(env.ErrNoSpace)
				}
			}
			if got, want := eager.m.HistoryHash(), lazy.m.HistoryHash(); got != want {
				t.Errorf("member %x: history %x, want %x", self.Member, got, want)
			}
			if got, want := eager.dump()+eager.past(), lazy.dump()+lazy.past(); got != want {
				t.Fatalf("member %x differs:\n%s\nwant\n%s", self.Member, got, want)
			}
		}
	}
}

// Whoever answers a command gives the same answer, wherever the flushes were.
func TestAnswersDoNotDependOnFlushes(t *testing.T) {
	rng := random(t)
	entries := (&generator{Rand: rng}).history(2000)
	self := RequestID{Member: 1}
	calm, busy := newRig(t, self), newRig(t, self)
	for i := range entries {
		want, got := calm.replay(entries[:i+1]), busy.replay(entries[:i+1])
		if len(got) != len(want) {
			t.Fatalf("entry %d: %d answers, want %d", i+2, len(got), len(want))
		}
		for j := range got {
			if g, w := printResult(got[j]), printResult(want[j]); g != w {
				t.Fatalf("entry %d: %s\nwant %s", i+2, g, w)
			}
		}
		if rng.IntN(3) == 0 {
			busy.flush()
		}
		if rng.IntN(5) == 0 {
			busy.m.CompactStep()
		}
	}
}

// After a crash the log is replayed from the last flush, wherever that was.
func TestReplayFromEveryFlush(t *testing.T) {
	entries := (&generator{Rand: random(t)}).history(150)
	whole := newRig(t, RequestID{})
	whole.replay(entries)
	for at := range entries {
		r := newRig(t, RequestID{})
		r.replay(entries[:at])
		r.flush()
		r.replay(entries)
		r.reopen()
		if applied, _ := r.m.Applied(); applied != uint64(at+1) {
			t.Fatalf("applied %d after a flush at %d", applied, at+1)
		}
		r.replay(entries)
		if got, want := r.dump(), whole.dump(); got != want {
			t.Fatalf("flushed at %d:\n%s\nwant\n%s", at+1, got, want)
		}
	}
}

// What a flush makes durable is the state when it was sealed, whatever was applied before it was committed, and whether or
// not an earlier one came to nothing.
func TestFlushHoldsWhatWasSealed(t *testing.T) {
	rng := random(t)
	entries := (&generator{Rand: rng}).history(150)
	for at := range entries {
		r := newRig(t, RequestID{})
		if rng.IntN(2) == 0 { // the disk is full
			r.replay(entries[:rng.IntN(at+1)])
			r.flushStep(nil)
			r.flushStep(env.ErrNoSpace)
		}
		r.replay(entries[:at])
		want := r.dump()
		r.flushStep(nil)
		r.replay(entries[:at+rng.IntN(len(entries)-at+1)])
		r.m.CompactStep()
		r.flushStep(nil)
		if rng.IntN(2) == 0 {
			r.flushStep(nil)
		}
		r.reopen()
		if got := r.dump(); got != want {
			t.Fatalf("sealed after entry %d:\n%s\nwant\n%s", at+1, got, want)
		}
	}
}

// The hash tells apart any two histories.
func TestHistoryHashCovers(t *testing.T) {
	base := func() []*raftpb.Entry {
		return []*raftpb.Entry{
			entry(2, 1, EncodeBatch([]Command{{ID: RequestID{1, 1, 1}, Request: mustMarshal(putOf("ab", "c"))}})),
			entry(3, 1, EncodeBatch([]Command{{ID: RequestID{1, 1, 2}, Request: mustMarshal(putOf("x", "y"))}})),
		}
	}
	one := func(id RequestID, key, value string) []byte {
		return EncodeBatch([]Command{{ID: id, Request: mustMarshal(putOf(key, value))}})
	}
	grant := func(id, ttl int64) []byte {
		return EncodeBatch([]Command{{ID: RequestID{1, 1, 3}, Request: mustMarshal(grantOf(id, ttl))}})
	}
	revoke := func(id int64) []byte {
		return EncodeBatch([]Command{{ID: RequestID{1, 1, 4}, Request: mustMarshal(revokeOf(id))}})
	}
	histories := map[string]func([]*raftpb.Entry){
		"base":          func([]*raftpb.Entry) {},
		"value":         func(e []*raftpb.Entry) { e[0].Data = one(RequestID{1, 1, 1}, "ab", "d") },
		"key":           func(e []*raftpb.Entry) { e[0].Data = one(RequestID{1, 1, 1}, "aa", "c") },
		"border":        func(e []*raftpb.Entry) { e[0].Data = one(RequestID{1, 1, 1}, "a", "bc") },
		"member":        func(e []*raftpb.Entry) { e[0].Data = one(RequestID{2, 1, 1}, "ab", "c") },
		"epoch":         func(e []*raftpb.Entry) { e[0].Data = one(RequestID{1, 0, 1}, "ab", "c") },
		"counter":       func(e []*raftpb.Entry) { e[0].Data = one(RequestID{1, 1, 3}, "ab", "c") },
		"term":          func(e []*raftpb.Entry) { e[1].Term = new(uint64(2)) },
		"empty":         func(e []*raftpb.Entry) { e[1].Data = nil },
		"another error": func(e []*raftpb.Entry) { e[1].Data = EncodeBatch([]Command{{ID: RequestID{1, 1, 2}}}) },
		"malformed": func(e []*raftpb.Entry) {
			e[1].Data = EncodeBatch([]Command{{ID: RequestID{1, 1, 2}, Request: []byte{1}}})
		},
		"duplicate":     func(e []*raftpb.Entry) { e[1].Data = one(RequestID{1, 1, 1}, "x", "y") },
		"grant":         func(e []*raftpb.Entry) { e[1].Data = grant(1, 10) },
		"another grant": func(e []*raftpb.Entry) { e[1].Data = grant(2, 10) },
		"another ttl":   func(e []*raftpb.Entry) { e[1].Data = grant(1, 11) },
		"revoke":        func(e []*raftpb.Entry) { e[0].Data, e[1].Data = grant(1, 10), revoke(1) },
		"no revoke":     func(e []*raftpb.Entry) { e[0].Data, e[1].Data = grant(1, 10), revoke(2) },
		"stale": func(e []*raftpb.Entry) {
			e[1].Data = EncodeBatch([]Command{{ID: RequestID{1, 1, 2}, Term: 9, Request: mustMarshal(putOf("x", "y"))}})
		},
		"empty envelope": func(e []*raftpb.Entry) { e[1].Data = EncodeBatch(nil) },
	}
	seen := map[uint64]string{}
	for name, change := range histories {
		r := newRig(t, RequestID{})
		entries := base()
		change(entries)
		r.replay(entries)
		h := r.m.HistoryHash()
		if other, ok := seen[h]; ok && !(name == "empty" || name == "empty envelope") {
			t.Errorf("%s and %s have the same hash", name, other)
		}
		seen[h] = name
	}
}

func TestApplyStopsAt(t *testing.T) {
	put := EncodeBatch([]Command{{ID: RequestID{1, 1, 1}, Request: mustMarshal(putOf("k", "v"))}})
	confChange := entry(2, 1, nil)
	confChange.Type = raftpb.EntryConfChangeV2.Enum()
	cases := []struct {
		name  string
		entry *raftpb.Entry
		want  error
	}{
		{"a gap", entry(3, 1, put), ErrOutOfOrder},
		{"an entry applied before", entry(1, 1, put), ErrOutOfOrder},
		{"a lower term", entry(2, 0, put), ErrOutOfOrder},
		{"a membership entry", confChange, ErrConfChange},
		{"another envelope", entry(2, 1, []byte{9}), ErrEnvelopeVersion},
		{"a torn envelope", entry(2, 1, put[:len(put)-1]), ErrMalformedEnvelope},
	}
	for _, c := range cases {
		r := newRig(t, RequestID{})
		if _, err := r.m.Apply([]*raftpb.Entry{c.entry}, r.self); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		// Nothing of it counts, and nothing comes after it.
		if index, _ := r.m.Applied(); index != 1 || r.m.View().Index != 1 || r.m.Revision() != 1 {
			t.Errorf("%s: applied up to %d", c.name, index)
		}
		if _, err := r.m.Apply([]*raftpb.Entry{entry(2, 1, nil)}, r.self); !errors.Is(err, c.want) {
			t.Errorf("%s, then a good entry: %v", c.name, err)
		}
		if err := r.m.Flush(); !errors.Is(err, c.want) {
			t.Errorf("%s, then a flush: %v", c.name, err)
		}
	}
}

func TestBacklog(t *testing.T) {
	r := newRig(t, RequestID{Member: 1})
	if r.m.Pending() || r.m.Backlog() != (Backlog{}) {
		t.Fatal("something is pending in an empty store")
	}
	r.commit(putOf("k", string(make([]byte, 1000))))
	if b := r.m.Backlog(); !r.m.Pending() || b.Ops != 1 || b.Bytes < 1000 || b.Entries != 1 {
		t.Fatalf("one entry with one put: %+v", b)
	}
	r.replay([]*raftpb.Entry{entry(3, 1, nil)})
	if b := r.m.Backlog(); b.Ops != 1 || b.Entries != 2 {
		t.Errorf("and one without: %+v", b)
	}
	r.flush()
	if r.m.Pending() || r.m.Backlog() != (Backlog{}) {
		t.Error("after a flush: pending")
	}
}
