package raftnode_test

import (
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

func (n *node) env() env.Env {
	life := n.life
	return env.Env{
		Clock: &clock{n: n, life: life},
		FS:    n.fs,
		Net:   port{n},
		Rand:  rand.New(rand.NewPCG(n.boot.Uint64(), 0)),
		Post: func(f func()) {
			if n.life == life {
				n.posted = append(n.posted, f)
			}
		},
		Lane: func(name string) env.Lane {
			if n.lanes[name] == nil {
				n.lanes[name] = &lane{n: n}
			}
			return n.lanes[name]
		},
		Together: env.OneByOne,
	}
}

type clock struct {
	n    *node
	life int
}

func (c *clock) Now() time.Duration { return c.n.now }
func (c *clock) Wall() time.Time    { return time.Unix(1_700_000_000, 0).Add(c.n.now) }
func (c *clock) After(d time.Duration, f func()) (stop func()) {
	t := &timer{at: c.n.now + d, brief: d < time.Millisecond, f: f}
	if c.life == c.n.life {
		c.n.timers = append(c.n.timers, t)
	}
	return func() { t.f = func() {} }
}

type port struct{ n *node }

func (p port) Send(to uint64, m *peerpb.Message) {
	b, err := proto.Marshal(m)
	if err != nil {
		p.n.c.t.Fatal(err)
	}
	kind, text := describe(m)
	e := &envelope{from: p.n.id, to: to, kind: kind, text: text, data: b, life: p.n.life, hello: p.n.raft.Hello()}
	if p.n.c.trace && !isIdleHeartbeat(m) {
		p.n.say("-> n%d %s", to, text)
	}
	if matchesAny(p.n.c.cuts, e) {
		return
	}
	e.held = matchesAny(p.n.c.holds, e)
	p.n.c.network = append(p.n.c.network, e)
}

type timer struct {
	at    time.Duration
	brief bool // fires when nothing else is left to do, without any time passing
	f     func()
}

type job struct {
	work func() error
	done func(error)
}

type lane struct {
	n    *node
	jobs []job
}

func (l *lane) Do(work func() error, done func(error)) {
	l.jobs = append(l.jobs, job{work, done})
}

// envelope is a message in flight: encoded, so that no two nodes share memory.
type envelope struct {
	from, to uint64
	kind     string
	text     string
	data     []byte
	life     int          // of the sender
	hello    peerpb.Hello // of the run that sent it
	held     bool
}

// filter selects messages; zero fields select all.
type filter struct {
	from, to uint64
	kind     string
}

func (f filter) matches(e *envelope) bool {
	return (f.from == 0 || f.from == e.from) && (f.to == 0 || f.to == e.to) && (f.kind == "" || f.kind == e.kind)
}

func matchesAny(fs []filter, e *envelope) bool {
	return slices.ContainsFunc(fs, func(f filter) bool { return f.matches(e) })
}

// patience stands in for the randomness that raft draws election timeouts from: rand.Int(Reader, 10) takes the number
// from the low bits of one byte.
type patience struct{ c *cluster }

func (p patience) Read(b []byte) (int, error) {
	clear(b)
	if p.c.running != nil {
		b[len(b)-1] = byte(min(3*(p.c.running.id-1), 9)) // the fourth and the fifth are alike
	}
	return len(b), nil
}
