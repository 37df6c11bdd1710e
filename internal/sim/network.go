package sim

import (
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/transport"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// network carries messages between nodes. Every message is encoded when sent and decoded when delivered, as on a wire,
// so no two nodes ever share memory.
type network struct {
	w   *world
	rng *rand.Rand
	// cut[from][to] says that nothing gets through in that direction.
	cut map[[2]int]bool
}

func newNetwork(w *world, rng *rand.Rand) *network {
	return &network{w: w, rng: rng, cut: map[[2]int]bool{}}
}

func (n *network) send(from int, to uint64, m *peerpb.Message) {
	target := n.w.indexOf(to)
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	copies := 1
	if n.w.faulty {
		if n.rng.Float64() < n.w.opt.Loss {
			copies = 0
		}
		if n.rng.Float64() < n.w.opt.Duplicate {
			copies++
		}
	}
	for range copies {
		delay := time.Duration(n.rng.ExpFloat64()*float64(n.w.opt.DelayMean)) + 50*time.Microsecond
		n.w.queue.after(delay, func() { n.deliver(from, target, b) })
	}
}

// deliver hands a message to its target if the link is up at that moment and the target is alive.
func (n *network) deliver(from, to int, b []byte) {
	target := n.w.nodes[to]
	if n.cut[[2]int{from, to}] || target.raft == nil {
		return
	}
	m := &peerpb.Message{}
	if err := proto.Unmarshal(b, m); err != nil {
		panic(err)
	}
	if err := transport.Check(m, uint64(from+1), target.id); err != nil {
		n.w.violation("node %d sent what the transport refuses: %v", from+1, err)
		return
	}
	n.w.trace.event(n.w.queue.now, to+1, "receive "+describe(m), m.GetFrom(), uint64(len(b)))
	target.guard(func() { target.raft.Receive(m) })
}

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
	}
	return "unknown"
}

// partition cuts the cluster in one of the ways that clusters get cut.
func (n *network) partition() string {
	nodes := len(n.w.nodes)
	side := make([]bool, nodes) // true: on the one side
	kind := n.rng.IntN(4)
	switch kind {
	case 0: // any two groups
		for i := range side {
			side[i] = n.rng.IntN(2) == 0
		}
	case 1: // the leader alone
		for i, nd := range n.w.nodes {
			side[i] = nd.raft != nil && nd.raft.Status().Leader == nd.id
		}
	default: // one node alone
		side[n.rng.IntN(nodes)] = true
	}
	oneWay := n.rng.IntN(3) == 0
	for a := range nodes {
		for b := range nodes {
			if side[a] != side[b] && (!oneWay || side[a]) {
				n.cut[[2]int{a, b}] = true
			}
		}
	}
	return [...]string{"groups", "leader", "node", "node"}[kind]
}

func (n *network) heal() { clear(n.cut) }
