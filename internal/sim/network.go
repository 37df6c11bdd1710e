package sim

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/transport"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// network carries messages between nodes. Every message is encoded when sent and decoded when delivered, as on a wire,
// so no two nodes ever share memory.
type network struct {
	w   *world
	rng *rand.Rand
	// cut says of a link, from and to, that nothing gets through; clogged until when nothing does, but then all at once.
	cut     map[[2]int]bool
	clogged map[[2]int]time.Duration
	noticed map[[2]int]bool // links of which a node is about to hear that messages get lost
	// silenced says of a node from which of its lives on messages are delivered.
	silenced map[int]int
}

func newNetwork(w *world, rng *rand.Rand) *network {
	return &network{w: w, rng: rng, cut: map[[2]int]bool{}, clogged: map[[2]int]time.Duration{}, noticed: map[[2]int]bool{},
		silenced: map[int]int{}}
}

func (n *network) send(sender *node, to uint64, m *peerpb.Message) {
	from := sender.index
	target := n.w.indexOf(to)
	m = n.cutPiece(m)
	b, err := transport.Encode(m)
	if err != nil {
		panic(err)
	}
	n.w.check.sent(sender, m)
	if !n.w.check.tellsOn(sender, m) {
		return
	}
	e := envelope{sender: sender, from: from, to: target, life: sender.life, hello: sender.raft.Hello(), data: b}
	e.reached = sender.met[target]
	deliver := func() { n.deliver(e) }
	if !n.w.faulty {
		n.w.queue.after(n.delay(), deliver)
		return
	}
	copies := 1
	if n.rng.Float64() < n.w.opt.Loss {
		copies = 0
	}
	if n.w.opt.Garble > 0 && n.garbled(from, target, m, b) {
		copies = 0
	}
	if n.rng.Float64() < n.w.opt.Duplicate {
		copies++
		n.w.count.Duplicates++
	}
	clog := n.clogged[[2]int{from, target}]
	for range copies {
		n.w.queue.at(max(clog, n.w.queue.now+n.delay()), deliver)
	}
	if n.rng.Float64() < n.w.opt.Replay {
		n.w.count.Duplicates++
		n.w.queue.after(exponential(n.rng, 3*time.Second), deliver)
	}
}

func (n *network) delay() time.Duration {
	return exponential(n.rng, n.w.opt.DelayMean) + 50*time.Microsecond
}

// envelope is a message on its way.
type envelope struct {
	sender   *node
	from, to int
	life     int          // of the sender
	hello    peerpb.Hello // what the sender's process says of itself when it connects
	reached  int          // the life of the target that the sender was connected to; 0 if to none
	data     []byte
}

// deliver hands a message to its target if the link is up at that moment and the target is alive. As in the transport's
// handshake, the sender has a say in who its target is first, and then the target in who speaks.
func (n *network) deliver(e envelope) {
	from, to := e.from, e.to
	target := n.w.nodes[to]
	if n.cut[[2]int{from, to}] || target.raft == nil {
		n.lost(from, to)
		return
	}
	if target.paused {
		target.held = append(target.held, func() { n.deliver(e) }) // it waits in the socket
		return
	}
	sender, life := e.sender, target.life
	switch {
	case sender.life == e.life && sender.raft != nil && !sender.paused:
		sender.guard(func() {
			sender.raft.Admit(target.id, target.raft.Hello(), func(err error) {
				if (err == nil || errors.Is(err, raftnode.ErrStopped)) && target.life == life {
					sender.met[to] = life
					n.receive(e, target)
				}
			})
		})
	case e.reached == life && e.life >= n.silenced[from]: // what it sent when it was alive
		n.receive(e, target)
	}
}

func (n *network) receive(e envelope, target *node) {
	from, to, b := e.from, e.to, e.data
	m := &peerpb.Message{}
	if err := transport.Decode(b, m); err != nil {
		panic(err)
	}
	if err := transport.Check(m, uint64(from+1), target.id); err != nil {
		n.w.violation("node %d sent what the transport refuses: %v", from+1, err)
		return
	}
	size := uint64(len(b))
	if c := m.GetSnapshotChunk(); c != nil && !n.w.piece(n.w.nodes[from], target, c) {
		return
	}
	if m.GetSnapshotChunk() != nil || m.GetSnapshotFailed() != nil {
		size = 0 // bbolt's file, see cutPiece, or how long it is, in words
	}
	n.w.trace.event(n.w.queue.now, to+1, "receive "+describe(m), m.GetFrom(), size)
	receiver := target.raft
	target.guard(func() {
		receiver.Admit(m.GetFrom(), e.hello, func(err error) {
			var refusal peerpb.Refusal
			if errors.As(err, &refusal) {
				n.disown(e, refusal)
			}
			receiver.Receive(e.hello.Boot, m) // which looks for itself
		})
	})
}

// disown tells a process that a peer does not take it for who it says it is, if it is still there to hear it.
func (n *network) disown(e envelope, why peerpb.Refusal) {
	sender := e.sender
	n.w.queue.after(n.delay(), func() {
		if sender.life == e.life && sender.raft != nil && !n.cut[[2]int{e.to, e.from}] {
			sender.living(e.life, func() { sender.raft.Disowned(n.w.nodes[e.to].id, string(why)) })()
		}
	})
}

// lost lets a node hear, a moment later and once for all that got lost until then, that it does not reach a peer: as the
// transport does when a connection breaks. What is lost on a link that stands goes unnoticed.
func (n *network) lost(from, to int) {
	node, link := n.w.nodes[from], [2]int{from, to}
	if node.raft == nil || n.noticed[link] {
		return
	}
	n.noticed[link] = true
	hear := node.living(node.life, func() { node.raft.PeerUnreachable(n.w.nodes[to].id) })
	n.w.queue.after(noticeLoss, func() {
		delete(n.noticed, link)
		hear()
	})
}

// gone lets a node hear, a moment later, that nobody listens any more where another one was. That is so when its process has
// ended, and looks so when a firewall refuses connections on a link that is cut.
func (n *network) gone(from, to int) {
	node, link := n.w.nodes[from], [2]int{from, to}
	if node.raft == nil {
		return
	}
	life := n.w.nodes[to].life
	hear := node.living(node.life, func() {
		n.w.count.Gone++
		node.raft.PeerGone(n.w.nodes[to].id)
	})
	n.w.queue.after(time.Duration(n.rng.Int64N(int64(noticeLoss))), func() {
		ended := n.w.nodes[to].life == life && n.w.nodes[to].raft == nil
		if n.cut[link] && n.w.opt.CutsRefuse || ended && !n.cut[link] {
			hear()
		}
	})
}

// noticeLoss is how long the transport takes to notice.
const noticeLoss = 100 * time.Millisecond

func describe(m *peerpb.Message) string {
	switch b := m.GetBody().(type) {
	case *peerpb.Message_Raft:
		return b.Raft.GetType().String()
	case *peerpb.Message_Forward:
		return "Forward"
	case *peerpb.Message_ForwardRefused:
		return "ForwardRefused"
	case *peerpb.Message_SnapshotFetch:
		return "SnapshotFetch"
	case *peerpb.Message_SnapshotChunk:
		return "SnapshotChunk"
	case *peerpb.Message_SnapshotFailed:
		return "SnapshotFailed"
	case *peerpb.Message_LeaseRenew:
		return "LeaseRenew"
	case *peerpb.Message_LeaseRenewed:
		return "LeaseRenewed"
	case *peerpb.Message_LeaseRound:
		return "LeaseRound"
	case *peerpb.Message_LeaseRoundAck:
		return "LeaseRoundAck"
	case *peerpb.Message_LeaseSurvey:
		return "LeaseSurvey"
	case *peerpb.Message_LeaseTable:
		return "LeaseTable"
	case *peerpb.Message_LogFetch:
		return "LogFetch"
	case *peerpb.Message_LogPiece:
		return "LogPiece"
	}
	return "unknown"
}

// partition cuts the cluster in one of the ways that clusters get cut, and names it.
func (n *network) partition() string {
	nodes := len(n.w.nodes)
	order := n.rng.Perm(nodes)
	kinds := []string{"groups", "leader", "node", "one-way", "ring", "bridge"}
	kind := kinds[n.rng.IntN(len(kinds))]
	up := func(a, b int) bool { return true } // does a link stand, between places in order
	switch kind {
	case "groups", "one-way":
		size := 1 + n.rng.IntN(nodes-1)
		up = func(a, b int) bool { return (a < size) == (b < size) || (kind == "one-way" && a < size) }
	case "leader": // with less than a majority, where that is more than itself
		side := 1
		if nodes > 3 {
			side += n.rng.IntN((nodes - 1) / 2)
		}
		for i, o := range order {
			if nd := n.w.nodes[o]; nd.raft != nil && nd.stat.Leader == nd.id {
				order[0], order[i] = order[i], order[0]
				break
			}
		}
		up = func(a, b int) bool { return (a < side) == (b < side) }
	case "node":
		up = func(a, b int) bool { return a != 0 && b != 0 }
	case "ring": // everybody hears two others only
		up = func(a, b int) bool { d := (a - b + nodes) % nodes; return d == 1 || d == nodes-1 }
	case "bridge": // one node hears both sides, which do not hear each other
		half := (nodes + 1) / 2
		up = func(a, b int) bool { return a == 0 || b == 0 || (a < half) == (b < half) }
	}
	for a, from := range order {
		for b, to := range order {
			if a != b && !up(a, b) {
				n.cut[[2]int{from, to}] = true
			}
		}
	}
	if n.w.opt.CutsRefuse {
		for from := range nodes {
			for to := range nodes {
				if n.cut[[2]int{from, to}] {
					n.gone(from, to)
				}
			}
		}
	}
	return kind
}

// isolate cuts every link that does not join two nodes of the core.
func (n *network) isolate(core []bool) {
	for a := range core {
		for b := range core {
			if a != b && !(core[a] && core[b]) {
				n.cut[[2]int{a, b}] = true
			}
		}
	}
}

// clog holds up a random link for a while.
func (n *network) clog() {
	nodes := len(n.w.nodes)
	from := n.rng.IntN(nodes)
	to := (from + 1 + n.rng.IntN(nodes-1)) % nodes
	n.clogged[[2]int{from, to}] = n.w.queue.now + time.Duration(n.rng.Int64N(int64(5*time.Second)))
}

func (n *network) heal() {
	clear(n.cut)
	clear(n.clogged)
}
