package differential

import (
	"fmt"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/quorumkv/quorumkv/test/script"
)

// shrinker looks for a shorter history that still ends in a difference.
type shrinker struct {
	pair     *pair
	until    time.Time
	renew    bool // each attempt needs new stores
	attempts int

	best  history
	found *difference // by best; nil: the history could not be repeated
}

// shrink repeats a history that ended in a difference, leaves out what is not needed and simplifies the rest. It gives up
// after the budget and returns the best so far.
func shrink(p *pair, h history, budget time.Duration) *shrinker {
	s := &shrinker{pair: p, until: time.Now().Add(budget), best: h}
	// One after the other is simplest; together keeps what only happens at once.
	again := func() bool { return s.try(s.flat()) || s.try(h.steps) || s.try(h.steps) }
	if !again() {
		s.renew = true
		if !again() {
			return s
		}
	}
	for n := 1; n < len(s.best.steps); n *= 2 { // the end is often enough
		if s.try(s.without(0, len(s.best.steps)-n)) {
			break
		}
	}
	for before := -1; before != s.size() && time.Now().Before(s.until); {
		before = s.size()
		s.remove()
		s.simplify()
	}
	// On new stores, as a script would be replayed. If that does not do, the script makes the stores' past.
	s.until, s.renew = time.Now().Add(requestTimeout), true
	s.try(s.best.steps)
	return s
}

// try runs steps as a history; true when it ends in a difference, and then it is the best so far.
func (s *shrinker) try(steps []step) bool {
	if len(steps) == 0 || s.found != nil && !time.Now().Before(s.until) {
		return false
	}
	s.attempts++
	if s.renew {
		s.pair.renew()
	}
	at := s.pair.begin()
	h := history{base: at.base}
	for _, st := range steps {
		moved := step{restart: st.restart}
		for _, c := range st.calls {
			c.request = relocate(c.request, s.best.base, at.base)
			if !(exceptions{}).skipped(at, c.request) {
				moved.calls = append(moved.calls, c)
			}
		}
		done, found := s.pair.run(at, moved, nil)
		h.steps = append(h.steps, done)
		if found != nil {
			s.best, s.found = h, found
			return true
		}
	}
	return false
}

// flat sends one request after the other, in the order that the answers had.
func (s *shrinker) flat() []step {
	var flat []step
	for _, st := range s.best.steps {
		if st.restart != noRestart {
			flat = append(flat, step{restart: st.restart})
		}
		for _, c := range st.calls {
			flat = append(flat, step{calls: []call{c}, after: st.after})
		}
	}
	return flat
}

// remove leaves out ever smaller parts.
func (s *shrinker) remove() {
	for n := max(len(s.best.steps)/2, 1); ; n /= 2 {
		for from := len(s.best.steps) - n; from > -n; from -= n {
			steps := s.best.steps
			from = min(from, len(steps)-n) // an attempt may have ended early
			begin, end := max(from, 0), min(from+n, len(steps))
			if begin < end {
				_ = s.try(s.without(begin, end)) || s.try(slices.Concat(steps[:begin:begin], steps[end:]))
			}
		}
		if n == 1 {
			return
		}
	}
}

// without leaves out some steps and renumbers the revisions that the later ones name, as if the left out had never been.
func (s *shrinker) without(begin, end int) []step {
	steps := s.best.steps
	before := s.best.base
	if begin > 0 {
		before = steps[begin-1].after
	}
	gap := steps[end-1].after - before
	shorter := slices.Clone(steps[:begin])
	for _, st := range steps[end:] {
		st.calls = slices.Clone(st.calls)
		for i, c := range st.calls {
			st.calls[i].request = renumber(c.request, s.best.base, func(r int64) int64 {
				if r <= before {
					return r
				}
				return max(r-gap, before)
			})
		}
		shorter = append(shorter, st)
	}
	return shorter
}

// simplify tries each request with less in it.
func (s *shrinker) simplify() {
	for i := 0; i < len(s.best.steps); i++ {
		for j := 0; i < len(s.best.steps) && j < len(s.best.steps[i].calls); j++ {
			for s.simpler(i, j) {
			}
		}
	}
}

func (s *shrinker) simpler(i, j int) bool {
	if i >= len(s.best.steps) || j >= len(s.best.steps[i].calls) {
		return false
	}
	old := s.best.steps[i].calls[j]
	try := func(c call) bool {
		steps := slices.Clone(s.best.steps)
		steps[i].calls = slices.Clone(steps[i].calls)
		steps[i].calls[j] = c
		return s.try(steps)
	}
	if old.node != 0 && !local(old.request) {
		if c := (call{request: old.request}); try(c) {
			return true
		}
	}
	for _, request := range variants(old.request) {
		if try(call{old.node, old.client, request}) {
			return true
		}
	}
	return false
}

// size is how much there is to read.
func (s *shrinker) size() int {
	n := 0
	for _, st := range s.best.steps {
		n++
		for _, c := range st.calls {
			n += len(script.Print(c.request, s.best.base))
		}
	}
	return n
}

// variants returns requests that are a little simpler.
func variants(request any) (simpler []any) {
	switch r := request.(type) {
	case *script.Stream:
		simpler = append(simpler, r.RangeRequest)
		for _, m := range reduced(r.RangeRequest) {
			simpler = append(simpler, &script.Stream{RangeRequest: m.(*pb.RangeRequest)})
		}
		return simpler
	case *pb.TxnRequest:
		for _, op := range slices.Concat(r.Success, r.Failure) {
			switch o := op.Request.(type) {
			case *pb.RequestOp_RequestPut:
				simpler = append(simpler, o.RequestPut)
			case *pb.RequestOp_RequestRange:
				simpler = append(simpler, o.RequestRange)
			case *pb.RequestOp_RequestDeleteRange:
				simpler = append(simpler, o.RequestDeleteRange)
			case *pb.RequestOp_RequestTxn:
				simpler = append(simpler, o.RequestTxn)
			}
		}
	}
	for _, m := range reduced(request.(proto.Message)) {
		simpler = append(simpler, m)
	}
	return simpler
}

// reduced returns copies of a message that each lack one thing: half of a list, an element, an option. Keys and the
// choice among alternatives stay.
func reduced(m proto.Message) (copies []proto.Message) {
	edit := func(f func(protoreflect.Message)) {
		c := proto.Clone(m)
		f(c.ProtoReflect())
		copies = append(copies, c)
	}
	m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.IsList():
			n := v.List().Len()
			for size := n; size > 0; size /= 2 {
				for from := 0; from < n; from += size {
					edit(func(c protoreflect.Message) { cut(c.Mutable(field).List(), from, min(from+size, n)) })
				}
			}
			for i := range n {
				for _, less := range reduced(v.List().Get(i).Message().Interface()) {
					edit(func(c protoreflect.Message) {
						c.Mutable(field).List().Set(i, protoreflect.ValueOfMessage(less.ProtoReflect()))
					})
				}
			}
		case field.Kind() == protoreflect.MessageKind:
			for _, less := range reduced(v.Message().Interface()) {
				edit(func(c protoreflect.Message) { c.Set(field, protoreflect.ValueOfMessage(less.ProtoReflect())) })
			}
		case field.Kind() == protoreflect.BytesKind && len(v.Bytes()) > 8:
			edit(func(c protoreflect.Message) { c.Set(field, protoreflect.ValueOfBytes([]byte("1"))) })
		case field.Name() != "key" && field.ContainingOneof() == nil:
			edit(func(c protoreflect.Message) { c.Clear(field) })
			if field.Name() == "limit" && v.Int() > 1 {
				edit(func(c protoreflect.Message) { c.Set(field, protoreflect.ValueOfInt64(1)) })
			}
		}
		return true
	})
	return copies
}

func cut(list protoreflect.List, from, to int) {
	n := list.Len()
	for i := to; i < n; i++ {
		list.Set(from+i-to, list.Get(i))
	}
	list.Truncate(n - (to - from))
}

// pastRevisions is how many revisions the past takes that begin gives to used stores, and scripts to new ones.
const pastRevisions = 4

// script prints a history for a file in testdata.
func (h history) script() string {
	var b strings.Builder
	base := h.base
	if base > 1 {
		b.WriteString("put mark\ndel mark\ncompact +2\nput mark\ndel mark\n")
		base -= pastRevisions
	}
	for _, st := range h.steps {
		if st.restart != noRestart {
			b.WriteString("# here all nodes were restarted\n")
		}
		if len(st.calls) > 1 {
			fmt.Fprintf(&b, "# the following %d were sent at once\n", len(st.calls))
		}
		for _, c := range st.calls {
			if c.node > 0 {
				fmt.Fprintf(&b, "@%d ", c.node)
			}
			b.WriteString(script.Print(c.request, base))
		}
	}
	return b.String()
}
