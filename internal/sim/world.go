package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/storage/apply"
)

// world is one run: the queue, the nodes, the network, the clients and the checks.
type world struct {
	opt     Options
	queue   queue
	rng     *rand.Rand // for the world's own decisions: when to cut, whom to crash
	trace   *trace
	dir     string // on the RAM disk, for files that bbolt maps
	nodes   []*node
	members []apply.Member
	net     *network
	load    *workload
	check   *checker
	faulty  bool // in the first phase
	count   Counts
	failure string // the first violation; the run ends with it
}

// Counts say what a run went through, so that a quiet run is not taken for a proof.
type Counts struct {
	Events, Crashes, Elections, Partitions, Snapshots      int
	AckedWrites, AckedReads, UnknownOutcomes, FailedWrites int
}

func newWorld(seed uint64, opt Options, out io.Writer) (*world, error) {
	dir, err := os.MkdirTemp(ramDisk(), "sim-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for bbolt's files: %w", err)
	}
	rng := rand.New(rand.NewPCG(seed, 0x51))
	w := &world{opt: opt, rng: rng, trace: newTrace(out), dir: dir, faulty: true}
	w.net = newNetwork(w, rand.New(rand.NewPCG(seed, 0x52)))
	w.check = newChecker(w)
	for i := range opt.Nodes {
		id := uint64(i + 1)
		w.members = append(w.members, apply.Member{ID: id, Name: fmt.Sprintf("n%d", id),
			PeerURLs: []string{fmt.Sprintf("http://10.0.0.%d:2380", id)}})
		n := &node{w: w, index: i, id: id, rng: rand.New(rand.NewPCG(seed, 0x100+id))}
		n.fs = memfs.New(rng.Uint64(), n.mapRoot())
		w.nodes = append(w.nodes, n)
	}
	w.load = newWorkload(w, rand.New(rand.NewPCG(seed, 0x53)))
	return w, nil
}

// ramDisk is where files cost no disk access, if the system has such a place.
func ramDisk() string {
	if s, err := os.Stat("/dev/shm"); err == nil && s.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

func (w *world) close() {
	for _, n := range w.nodes {
		if n.raft != nil {
			n.raft.Abandon()
		}
	}
	os.RemoveAll(w.dir)
}

func (w *world) indexOf(id uint64) int { return int(id) - 1 }

// violation ends the run: something that must never happen did.
func (w *world) violation(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf("at %.3f s: ", w.queue.now.Seconds()) + fmt.Sprintf(format, args...)
		w.trace.note(w.queue.now, "VIOLATION %s", w.failure)
	}
}

// run plays both phases and returns when they are over or something is violated.
func (w *world) run() {
	for _, n := range w.nodes {
		n.start()
	}
	w.load.start()
	w.planPartition()
	w.planCrash()
	w.runUntil(w.opt.Faulty, func() bool { return false })
	w.heal()
	w.runUntil(w.queue.now+w.opt.Heal, w.check.converged)
	w.check.final()
}

func (w *world) runUntil(end time.Duration, done func() bool) {
	for w.failure == "" {
		for range 64 {
			if !w.queue.step(end) {
				w.queue.now = end
				return
			}
			w.count.Events++
			if w.failure != "" {
				return
			}
		}
		if done() {
			return
		}
	}
}

// heal ends the first phase: the network is whole, everybody is started, nothing fails any more.
func (w *world) heal() {
	w.faulty = false
	w.trace.event(w.queue.now, 0, "heal")
	w.net.heal()
	w.load.finish()
	for _, n := range w.nodes {
		n.fs.SetHook(nil)
		if n.raft == nil && w.failure == "" {
			n.start()
		}
	}
}

func (w *world) planPartition() {
	if w.opt.PartitionEvery == 0 || len(w.nodes) == 1 {
		return
	}
	w.queue.after(exponential(w.rng, w.opt.PartitionEvery), func() {
		if !w.faulty {
			return
		}
		w.count.Partitions++
		kind := w.net.partition()
		w.trace.event(w.queue.now, 0, "partition "+kind)
		w.queue.after(exponential(w.rng, w.opt.PartitionFor), func() {
			w.trace.event(w.queue.now, 0, "partition ends")
			w.net.heal()
		})
		w.planPartition()
	})
}

func (w *world) planCrash() {
	if w.opt.CrashEvery == 0 {
		return
	}
	w.queue.after(exponential(w.rng, w.opt.CrashEvery), func() {
		if !w.faulty {
			return
		}
		power := w.rng.Float64() < w.opt.PowerLoss
		if w.rng.Float64() < w.opt.AllAtOnce {
			for _, n := range w.nodes {
				w.strike(n, power)
			}
		} else {
			w.strike(w.nodes[w.rng.IntN(len(w.nodes))], power)
		}
		w.planCrash()
	})
}

// strike crashes a node that is up: now, or at one of its next file operations.
func (w *world) strike(n *node, power bool) {
	switch {
	case n.raft == nil:
	case w.opt.CrashAtFileOp && w.rng.IntN(2) == 0:
		n.fs.SetHook(memfs.CrashAt(1 + w.rng.IntN(30)))
	default:
		n.crash(power)
	}
}

// Add sums the counts of several runs.
func (c *Counts) Add(o Counts) {
	c.Events += o.Events
	c.Crashes += o.Crashes
	c.Elections += o.Elections
	c.Partitions += o.Partitions
	c.Snapshots += o.Snapshots
	c.AckedWrites += o.AckedWrites
	c.AckedReads += o.AckedReads
	c.UnknownOutcomes += o.UnknownOutcomes
	c.FailedWrites += o.FailedWrites
}
