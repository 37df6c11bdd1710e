package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/raftnode"
)

// What a node may hold in seeds in which it is offered ten times as much: few enough writes for a run, and bytes for the
// large ones among them to matter.
const (
	overloadFactor  = 10
	overloadPending = 24
	overloadBytes   = 3 << 20
	overloadLimit   = 5 * time.Second // until writes are accepted again
	answerLimit     = 8 * time.Second // until all is answered: what the leader drops without a word ends at its deadline
	largeValue      = 1 << 20
	hugeTxn         = 128 // puts, as many as etcd admits
)

// overloadTrial offers every node ten times the writes that it may hold, all at once, large values and huge transactions
// among them. What is too much is refused at once, with the right error; no node holds more than it may; the rest is
// answered, and soon everything is as before.
func (w *world) overloadTrial() {
	w.within(fullLimit, func() bool { return w.leaderNode() != nil && w.settled() }, "no leader that all follow")
	if w.failure != "" {
		return
	}
	w.trace.event(w.queue.now, 0, "trial: overload")
	w.count.Overloads++
	for _, f := range w.watch.all {
		f.pace = min(f.pace, 20*time.Millisecond) // what comes now is more than a slow reader gets through while the run lasts
	}
	var offered []*operation
	for _, n := range w.nodes {
		held, bytes := 0, 0
		for i := range overloadFactor * w.opt.MaxPending {
			op := w.load.offer(n, i)
			offered = append(offered, op)
			if op.end == 0 {
				held, bytes = held+1, bytes+len(op.value)*max(op.puts, 1)
			}
		}
		if held > w.opt.MaxPending || bytes > overloadBytes {
			w.violation("node %d holds %d writes of %d bytes, its bounds are %d and %d", n.index+1, held, bytes,
				w.opt.MaxPending, overloadBytes)
		}
	}
	w.within(overloadLimit, w.writes(trialWrites, nil), "more was offered than fits, and later no write was accepted")
	w.within(answerLimit, func() bool {
		for _, op := range offered {
			if op.end == 0 {
				return false
			}
		}
		return true
	}, "more was offered than fits, and not all of it was answered")
	for _, op := range offered {
		// Of two that overtake each other on the way to a leader that is full, one may be taken for a duplicate.
		if w.failure == "" && !op.acked && !errors.Is(op.err, raftnode.ErrTooManyRequests) && !errors.Is(op.err, raftnode.ErrTimeout) {
			w.violation("more was offered than fits, and a %s ended with %v", op.kind, op.err)
		}
		if op.acked {
			w.count.OverloadTaken++
		}
	}
}

// offer sends one of many writes to a node.
func (l *workload) offer(n *node, i int) *operation {
	l.next++
	op := &operation{kind: opUnique, key: fmt.Sprintf("u%d", l.next), value: fmt.Sprintf("v%d", l.next)}
	switch i % 16 {
	case 0:
		op.value += strings.Repeat(".", largeValue)
	case 1:
		op.kind, op.puts, op.key = opMany, hugeTxn, op.key+"/0"
		op.value += strings.Repeat(".", 4<<10)
	}
	l.send(n, op, func() {})
	return op
}
