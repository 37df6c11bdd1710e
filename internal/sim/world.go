package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os" //determinism:ok the RAM disk for the files that bbolt maps
	"slices"
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
	watch   *watchers
	hold    *holders
	check   *checker
	faulty  bool   // in the first phase
	core    []bool // the nodes that must make progress in the second
	count   Counts
	idle    idleness
	failure string // the first violation; the run ends with it
	// squeezed are the nodes whose disks are kept nearly full in a trial.
	squeezed []*node
	left     uint64 // on those
	trouble  plannedTrouble
}

func newWorld(seed uint64, opt Options, out io.Writer) (*world, error) {
	dir, err := os.MkdirTemp(ramDisk(), "sim-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for bbolt's files: %w", err)
	}
	rng := rand.New(rand.NewPCG(seed, 0x51))
	w := &world{opt: opt, rng: rng, trace: newTrace(out), dir: dir, faulty: true, count: newCounts(), idle: idleness{since: -1}}
	w.net = newNetwork(w, rand.New(rand.NewPCG(seed, 0x52)))
	w.check = newChecker(w)
	for i := range opt.Nodes {
		id := uint64(i + 1)
		w.members = append(w.members, apply.Member{ID: id, Name: fmt.Sprintf("n%d", id),
			PeerURLs: []string{fmt.Sprintf("http://10.0.0.%d:2380", id)}})
		n := &node{w: w, index: i, id: id, rng: rand.New(rand.NewPCG(seed, 0x100+id))}
		n.stalled = map[string]time.Duration{}
		n.rate = 1 + (rng.Float64()*2-1)*opt.Drift
		n.fs = memfs.New(rng.Uint64(), n.mapRoot())
		if opt.CopyOnWrite {
			n.fs.SetCopyOnWrite()
		}
		w.nodes = append(w.nodes, n)
	}
	w.load = newWorkload(w, rand.New(rand.NewPCG(seed, 0x53)))
	w.watch = newWatchers(w, rand.New(rand.NewPCG(seed, 0x54)))
	w.hold = newHolders(w, rand.New(rand.NewPCG(seed, 0x55)))
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
		n.metas.close()
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

// run plays the phases and returns when they are over or something is violated: first anything fails; then a quorum
// heals while the others stay away, and must make progress; then everybody heals, and all must agree. What a seed has of
// full and hanging disks, and of watchers, is then tried once more, alone, and so is damage to files in use.
func (w *world) run() {
	for _, n := range w.nodes {
		n.start()
	}
	w.load.start()
	w.watch.start()
	w.hold.start()
	w.planPartition()
	w.planClog()
	w.planCrash()
	w.planPause()
	w.planStall()
	w.planSteps()
	w.planFull()
	w.planHang()
	w.planRot()
	w.planLies()
	w.planTwist()
	w.planDiskErrors()
	w.planBlackout()
	w.runUntil(w.opt.Faulty, func() bool { return false })
	w.healCore()
	w.check.demandProgress()
	w.runUntil(w.queue.now+progressLimit, w.check.progressed)
	if w.failure == "" && !w.check.progressed() {
		w.violation("a healthy quorum took no write within %v: %s", progressLimit, w.check.describe())
	}
	w.healAll()
	w.runUntil(w.queue.now+w.opt.Heal, w.check.converged)
	if w.check.converged() {
		w.trials()
		w.runUntil(w.queue.now+w.opt.Heal, w.check.converged)
		w.scrubTrial()
		w.runUntil(w.queue.now+w.opt.Heal, w.check.converged)
		w.cloneTrial()
		w.runUntil(w.queue.now+w.opt.Heal, w.check.converged)
	}
	w.check.final()
	w.lossTrial()
}

// progressLimit is how long a connected, healthy quorum may take to accept a write: ten election timeouts, and the time
// that requests of before may hold their clients.
const progressLimit = 20 * time.Second

func (w *world) runUntil(end time.Duration, done func() bool) {
	for w.failure == "" {
		for range 64 {
			if !w.step(end) {
				w.queue.now = end
				return
			}
			if w.failure != "" {
				return
			}
		}
		if done() {
			return
		}
	}
}

// eventLimit is several times what the longest run takes: with more, something goes round and round.
const eventLimit = 3_000_000

// step runs the next event, if there is one before end.
func (w *world) step(end time.Duration) bool {
	if !w.queue.step(end) {
		return false
	}
	if w.count.Events++; w.count.Events == eventLimit {
		w.violation("%d events, and no end: %s", eventLimit, w.check.describe())
	}
	return true
}

// healCore ends the first phase: no more faults, and a random majority is up and connected. The others are down or cut
// off, whatever they were.
func (w *world) healCore() {
	w.faulty = false
	for _, n := range w.nodes {
		n.twist.armed = false
	}
	core := make([]bool, len(w.nodes))
	order := w.rng.Perm(len(w.nodes))
	// A node that may not have all it acknowledged, or has diverged, needs the others: it is no part of a quorum that must
	// do alone.
	slices.SortStableFunc(order, func(a, b int) int { return rank(w.nodes[a].harmed()) - rank(w.nodes[b].harmed()) })
	for _, i := range order[:len(w.nodes)/2+1] {
		core[i] = true
	}
	w.trace.event(w.queue.now, 0, "heal a quorum")
	w.net.heal()
	w.net.isolate(core)
	w.load.finish()
	for i, n := range w.nodes {
		n.crashing, n.failing, n.lie = nil, nil, nil
		n.resume()
		n.free()
		clear(n.stalled)
		for _, lane := range lanes {
			n.proceed(lane)
		}
		switch {
		case core[i] && n.raft == nil && w.failure == "":
			n.start()
		case !core[i] && n.raft != nil && w.rng.IntN(2) == 0:
			n.frozen = true
			n.crash(false)
		case !core[i]:
			n.frozen = true
		}
	}
	w.core = core
}

func rank(last bool) int {
	if last {
		return 1
	}
	return 0
}

func (w *world) healAll() {
	w.trace.event(w.queue.now, 0, "heal all")
	w.hold.check.healed = w.queue.now
	w.net.heal()
	for _, n := range w.nodes {
		n.frozen = false
		n.giveBack()
		if n.lying {
			n.crash(true) // what the system has in memory hides what is on the disk, and a scrub may read that
		}
		if n.raft == nil && w.failure == "" {
			n.start()
		}
	}
}

// every runs f at random moments of the first phase, about every mean.
func (w *world) every(mean time.Duration, f func()) {
	if mean == 0 {
		return
	}
	w.queue.after(exponential(w.rng, mean), func() {
		if w.faulty {
			f()
			w.every(mean, f)
		}
	})
}

func (w *world) planPartition() {
	if len(w.nodes) == 1 {
		return
	}
	w.every(w.opt.PartitionEvery, func() {
		w.count.Partitions++
		w.trace.event(w.queue.now, 0, "partition "+w.net.partition())
		w.queue.after(exponential(w.rng, w.opt.PartitionFor), func() {
			if w.faulty {
				w.trace.event(w.queue.now, 0, "partition ends")
				w.net.heal()
			}
		})
	})
}

func (w *world) planClog() {
	if len(w.nodes) > 1 {
		w.every(w.opt.ClogEvery, func() {
			w.count.Clogs++
			w.net.clog()
		})
	}
}

func (w *world) planCrash() {
	w.every(w.opt.CrashEvery, func() {
		power := w.rng.Float64() < w.opt.PowerLoss
		if w.rng.Float64() < w.opt.AllAtOnce {
			for _, n := range w.nodes {
				w.strike(n, power)
			}
			return
		}
		w.strike(w.nodes[w.rng.IntN(len(w.nodes))], power)
	})
}

// planBlackout cuts the power of all nodes at once.
func (w *world) planBlackout() {
	w.every(w.opt.BlackoutEvery, func() {
		w.count.Blackouts++
		for _, n := range w.nodes {
			if n.raft != nil {
				n.crash(true)
			}
		}
	})
}

// strike crashes a node that is up: now, or at one of its next file operations.
func (w *world) strike(n *node, power bool) {
	switch {
	case n.raft == nil:
	case w.opt.CrashAtFileOp && w.rng.IntN(4) > 0:
		n.crashAt(1 + w.rng.IntN(30))
	default:
		n.crash(power)
	}
}

// planPause stops processes as SIGSTOP does: one, the leader, or all of them.
func (w *world) planPause() {
	w.every(w.opt.PauseEvery, func() {
		w.count.Pauses++
		d := 200*time.Millisecond + exponential(w.rng, 3*time.Second)
		all, one := w.rng.IntN(6) == 0, w.rng.IntN(len(w.nodes))
		for i, n := range w.nodes {
			if n.raft != nil && (all || i == one) {
				n.pause(d)
			}
		}
	})
}

// lanes are the ones that a node has.
var lanes = [...]string{"wal", "apply", "flush", "snap"}

// planStall makes a lane hang, as a disk does.
func (w *world) planStall() {
	w.every(w.opt.StallEvery, func() {
		w.count.Stalls++
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		lane := lanes[w.rng.IntN(len(lanes))]
		d := 500*time.Millisecond + exponential(w.rng, 4*time.Second)
		w.trace.event(w.queue.now, n.index+1, "stall "+lane, uint64(d))
		n.stall(lane, d)
	})
}

// planSteps moves wall clocks, which must not matter to anybody.
func (w *world) planSteps() {
	if w.opt.WallSteps {
		w.every(5*time.Second, func() {
			w.count.ClockSteps++
			w.nodes[w.rng.IntN(len(w.nodes))].step = time.Duration(w.rng.Int64N(int64(2*time.Hour))) - time.Hour
		})
	}
}
