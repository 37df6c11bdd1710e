package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os" //determinism:ok the RAM disk for the files that bbolt maps
	"path/filepath"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
	"github.com/quorumkv/quorumkv/storage/wal"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// segmentBytes is small, so that logs roll often.
const segmentBytes = 32 << 10

// node is one member: its disk, which survives crashes, and its process, which does not.
type node struct {
	w     *world
	index int
	id    uint64
	rng   *rand.Rand

	fs      *memfs.FS
	metas   metas
	lane    string // whose job runs, "" between jobs
	booting bool   // the loop does not run yet
	life    int    // grows at each start; events of an earlier life do nothing
	// stalled holds until when a lane gets nothing done, lanes those of this life: both by name.
	stalled map[string]time.Duration
	lanes   map[string]*lane
	// fullUntil is when the disk has space again.
	fullUntil time.Duration
	snapshot  time.Duration  // when it made the last one
	twist     twist          // what its memory did to it
	furthest  uint64         // the highest index that it has applied, ever
	disks     disks          // that are not in it, or not its own
	hurt      bool           // its files are damaged, as far as is known
	lie       *lie           // what its disk is about to do, nil if nothing
	lying     bool           // its disk does not hold what reads show
	logEnd    uint64         // where its log ended before it was damaged; 0: it was not, or has started since
	crashing  func(memfs.Op) // ends the process at the file operation at which it is to die; nil if at none
	rotten    string         // its state file that was damaged in this life, and may still be the one in use
	rottenLog []place        // of its log, damaged in this life
	failing   *diskError     // of its disk, nil if that works
	frozen    bool           // stays down while the others must make progress
	paused    bool           // the process gets no time
	held      []func()       // what it would have done meanwhile, in order
	rate      float64        // of its clock, per true second
	step      time.Duration  // of its wall clock
	met       map[int]int    // by index of another node: its life that this process is connected to
	raft      *raftnode.Node // nil while down
	view      *apply.View    // as last published
	stat      raftnode.Status
}

// start boots the process on the disk as it is. A crash may strike during the boot.
func (n *node) start() {
	n.life++
	life := n.life
	n.w.trace.event(n.w.queue.now, n.index+1, "start", uint64(life))
	n.view, n.stat, n.rotten, n.rottenLog, n.met = nil, raftnode.Status{}, "", nil, map[int]int{}
	n.crashing, n.lane, n.booting = nil, "", true
	n.fs.SetHook(n.operation)
	n.twist.armed, n.twist.reborn = false, n.twist.index > 0
	if n.w.faulty && n.w.opt.CrashAtFileOp && n.rng.IntN(3) > 0 {
		n.crashAt(1 + n.rng.IntN(100)) // while booting, or soon after
	}
	var opened *raftnode.Node
	crashed, err := memfs.Catch(func() (err error) {
		opened, err = raftnode.Open(n.env(life), n.config(life))
		return err
	})
	n.booting = false
	switch {
	case crashed:
		n.crash(n.rng.Float64() < n.w.opt.PowerLoss)
		return
	case errors.Is(err, env.ErrNoSpace):
		// It says so, and whoever looks after it starts it again.
		n.w.count.NoRoomToStart++
		n.crash(false)
		return
	case errors.Is(err, errDisk):
		n.w.count.EndedByError++
		n.crash(n.rng.Float64() < n.w.opt.PowerLoss)
		return
	case n.disks.original != nil && errors.Is(err, wal.ErrHardStateLost):
		n.outed("at its start")
		return
	case err != nil:
		n.w.violation("node %d does not start: %v", n.index+1, err)
		return
	}
	n.w.check.remembers(n)
	n.raft = opened
	n.w.ran()
	n.guard(opened.Start)
}

func (n *node) config(life int) raftnode.Config {
	cfg := raftnode.Config{
		ClusterID:       1,
		MemberID:        n.id,
		Dir:             fmt.Sprintf("n%d", n.index+1),
		Members:         n.w.members,
		HastenElection:  n.w.opt.HastenElection,
		FlushOps:        n.w.opt.FlushOps,
		SnapshotEntries: n.w.opt.SnapshotEntries,
		CatchUpEntries:  n.w.opt.CatchUpEntries,
		SegmentBytes:    n.w.segment(),
		BallastBytes:    n.w.ballast(),
		ChunkBytes:      64 << 20, // all of it: how long bbolt's file is depends on how it walks its maps, see cutPiece
		MaxPending:      n.w.opt.MaxPending,
		MaxPendingBytes: n.w.opt.MaxPendingBytes,
		CheckInterval:   n.w.opt.CheckEvery,
		Recent:          mvcc.Recent{Rows: n.w.opt.RecentRows},
		ScrubRate:       n.w.scrubRate(),
		ScrubInterval:   n.w.opt.ScrubEvery,
		// Short, so that notices come in the middle of everything.
		ProgressInterval: time.Second,
		Backend:          backend.Options{MapBytes: 64 << 20, NoSync: true},
		Publish: func(s raftnode.Status, v *apply.View) {
			if n.life == life {
				old := n.stat
				n.w.count.Scrubbed += found(old.Scrub, s.Scrub)
				n.w.count.ScrubPasses += int(s.Scrub.Passes - old.Scrub.Passes)
				n.stat, n.view = s, v
				if n.logEnd > 0 {
					n.logWhole()
				}
				n.twist.follow(n, old, s, v != nil)
				n.furthest = max(n.furthest, s.Applied)
				n.w.check.published(n, s, v)
				n.healed()
			}
		},
		BeforeApply: n.beforeApply,
		Observe: raftnode.Observer{
			Snapshot: func(time.Duration) { n.copied() },
			Apply:    func(_ time.Duration, entries []*raftpb.Entry) { n.w.check.applied(n, entries) },
		},
		Failed: func(err error) { n.failed(life, err) },
	}
	if n.disks.clone { // what it publishes is not what the node does of which it is a copy
		cfg.Publish, cfg.Observe = nil, raftnode.Observer{}
	}
	return cfg
}

// copied counts a snapshot that was made.
func (n *node) copied() {
	n.w.count.Snapshots++
	if n.snapshot > 0 && n.w.queue.now-n.snapshot < time.Second {
		n.w.count.QuickSnapshots++
	}
	n.snapshot = n.w.queue.now
}

// env is the node's world for one life. Once that life is over, nothing it had planned happens.
func (n *node) env(life int) env.Env {
	lanes := map[string]*lane{}
	n.lanes = lanes
	e := env.Env{
		Clock: &clock{n: n, life: life},
		FS:    n.fs,
		Net:   port{n},
		Rand:  rand.New(rand.NewPCG(n.rng.Uint64(), n.rng.Uint64())),
		Post:  func(f func()) { n.w.queue.after(0, n.living(life, f)) },

		Together: env.OneByOne,
	}
	e.Lane = func(name string) env.Lane {
		if lanes[name] == nil {
			lanes[name] = &lane{n: n, life: life, name: name}
		}
		return lanes[name]
	}
	return e
}

// living returns f guarded: it runs only in the same life, once the process has time again, and a crash in it ends that
// life.
func (n *node) living(life int, f func()) func() {
	var run func()
	run = func() {
		switch {
		case n.life != life:
		case n.paused:
			n.held = append(n.held, run)
		default:
			n.guard(f)
		}
	}
	return run
}

// pause stops the process as SIGSTOP does, for d or until resume.
func (n *node) pause(d time.Duration) {
	if n.paused {
		return
	}
	n.w.trace.event(n.w.queue.now, n.index+1, "pause", uint64(d))
	n.paused = true
	n.w.ran()
	life := n.life
	n.w.queue.after(d, func() {
		if n.life == life {
			n.resume()
		}
	})
}

// resume lets the process do, one after the other, what it missed.
func (n *node) resume() {
	n.paused = false
	n.w.ran()
	for _, f := range n.held {
		n.w.queue.after(0, f)
	}
	n.held = nil
}

// true is how long d of this node's clock takes.
func (n *node) true(d time.Duration) time.Duration { return time.Duration(float64(d) / n.rate) }

// guard runs a piece of the process; a crash at a file operation in it takes the process down.
func (n *node) guard(f func()) {
	if crashed, _ := memfs.Catch(func() error { f(); return nil }); crashed {
		n.crash(n.rng.Float64() < n.w.opt.PowerLoss)
	}
}

// pointClasses is into how many classes crashAt divides the fault points.
const pointClasses = 24

// crashAt lets the process crash at its k-th file operation from now. Every other time only one random class of fault
// points counts: appends to the log are most of what there is, and the rare operations must get their share.
func (n *node) crashAt(k int) {
	class := uint64(n.rng.IntN(2 * pointClasses)) // half of them are no class: all operations count
	if class < pointClasses {
		k = 1
	}
	n.crashing = func(op memfs.Op) {
		if class < pointClasses && xxhash.Sum64String(faultPoint(op))%pointClasses != class {
			return
		}
		// The content of a snapshot takes as many operations as bbolt's file happens to be long: no part of the seed.
		if strings.HasPrefix(op.Name, "snap/") && (op.Kind == memfs.OpRead || op.Kind == memfs.OpWrite) {
			return
		}
		if k--; k == 0 {
			n.crashHere(op)
		}
	}
}

// operation is the hook that every file operation of the process passes.
func (n *node) operation(op memfs.Op) error {
	n.owned(op)
	if n.crashing != nil {
		n.crashing(op)
	}
	if n.switches(op) && n.w.faulty && n.w.opt.CrashEvery > 0 && n.rng.IntN(3) == 0 {
		n.crashHere(op)
	}
	if err := n.diskError(op); err != nil || n.lie == nil {
		return err
	}
	return n.deceived(op)
}

// crashHere ends the process at a file operation.
func (n *node) crashHere(op memfs.Op) {
	n.w.count.CrashedAt[faultPoint(op)]++
	panic(memfs.Crash{Op: op})
}

// faultPoint names an operation without the numbers in its path.
func faultPoint(op memfs.Op) string {
	return string(op.Kind) + " " + faultName(op.Name)
}

func faultName(path string) string {
	var name []byte
	for _, b := range []byte(path) {
		in := len(name) > 0 && name[len(name)-1] == '#' // in a number
		if b >= '0' && b <= '9' || in && b >= 'a' && b <= 'f' {
			if !in {
				name = append(name, '#')
			}
			continue
		}
		name = append(name, b)
	}
	return string(name)
}

// crash ends the process. After a power loss any part of what was not synced may be missing.
func (n *node) crash(powerLoss bool) {
	kind := "killed"
	if powerLoss {
		kind = "power lost"
	}
	n.w.trace.event(n.w.queue.now, n.index+1, kind, uint64(n.life))
	n.w.count.Crashes++
	if n.committing() {
		n.w.count.CrashesBesideCommits++
	}
	n.fs.Kill() // closing what the process had open must change nothing
	if n.raft != nil {
		n.raft.Abandon()
	}
	n.raft, n.view, n.paused, n.held = nil, nil, false, nil
	n.crashing, n.lie = nil, nil
	n.life++
	for _, other := range n.w.nodes {
		if other != n {
			n.w.net.gone(other.index, n.index)
		}
	}
	lied := n.lying
	n.w.ran()
	if powerLoss {
		before := n.fs
		n.fs = n.fs.CrashClone(rand.New(rand.NewPCG(n.rng.Uint64(), 0)), n.mapRoot())
		if lied {
			n.exposed(before)
		}
	} else {
		n.fs = n.fs.ProcessCrash()
	}
	if n.w.faulty && n.w.opt.Rot > 0 && n.rng.Float64() < n.w.opt.Rot && !lied && n.disks.original == nil {
		n.rot()
	}
	if n.w.faulty && n.w.opt.Impostors > 0 {
		n.exchange()
	}
	life := n.life
	n.w.queue.after(exponential(n.rng, n.w.opt.DownFor), func() {
		if n.life == life && !n.frozen && !n.disks.out {
			n.start()
		}
	})
}

// mapRoot is a fresh folder on the RAM disk for the files that bbolt maps.
func (n *node) mapRoot() string {
	dir := filepath.Join(n.w.dir, fmt.Sprintf("n%d-%d", n.index+1, n.life))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		panic(err)
	}
	return dir
}

// free ends a full disk.
func (n *node) free() {
	n.fullUntil = 0
	n.fs.SetCapacity(memfs.Unlimited)
}

// ballast is what nodes reserve, in seeds in which it matters.
func (w *world) ballast() int64 {
	if w.opt.FullEvery > 0 {
		return ballastBytes
	}
	return -1
}

// scrubPerSecond is enough for a pass to take a moment.
const scrubPerSecond = 128 << 10

func (w *world) scrubRate() int64 {
	if w.opt.ScrubEvery > 0 {
		return scrubPerSecond
	}
	return -1
}

func (w *world) segment() int64 {
	if w.opt.FullEvery > 0 {
		return shortSegmentBytes
	}
	return segmentBytes
}

type clock struct {
	n    *node
	life int
}

func (c *clock) Now() time.Duration { return time.Duration(float64(c.n.w.queue.now) * c.n.rate) }
func (c *clock) Wall() time.Time    { return time.Unix(1_700_000_000, 0).Add(c.Now() + c.n.step) }
func (c *clock) After(d time.Duration, f func()) (stop func()) {
	stopped := false
	c.n.w.queue.after(c.n.true(d), c.n.living(c.life, func() {
		if !stopped {
			f()
		}
	}))
	return func() { stopped = true }
}

// lane runs each job in one step, at the moment when it would be done; while the lane is stalled, at its end.
type lane struct {
	n    *node
	life int
	name string
	free time.Duration // when the last job queued will be done
	jobs []func()      // oldest first
	due  int           // how many of them would be done by now, but for the stall
}

func (l *lane) Do(work func() error, done func(error)) {
	l.jobs = append(l.jobs, func() {
		l.n.lane = l.name
		var err error
		l.n.ownCommits(l.name, func() { err = work() })
		l.n.lane = ""
		l.n.w.queue.after(0, l.n.living(l.life, func() { done(err) }))
	})
	l.free = max(l.free, l.n.w.queue.now) + exponential(l.n.rng, l.n.w.opt.LaneTime)
	l.n.w.queue.at(l.free, l.n.living(l.life, l.next))
}

// next finishes the oldest job, unless the lane is stalled.
func (l *lane) next() {
	if l.n.stalled[l.name] > l.n.w.queue.now {
		l.due++
		return
	}
	job := l.jobs[0]
	l.jobs[0], l.jobs = nil, l.jobs[1:]
	job()
}

// stall makes a lane hang for d or until proceed.
func (n *node) stall(name string, d time.Duration) {
	n.stalled[name] = max(n.stalled[name], n.w.queue.now+d)
	n.w.queue.at(n.stalled[name], func() { n.proceed(name) })
}

// proceed finishes what waited for the end of a stall, if it is over.
func (n *node) proceed(name string) {
	l := n.lanes[name]
	if l == nil || n.stalled[name] > n.w.queue.now {
		return
	}
	for ; l.due > 0; l.due-- {
		n.w.queue.after(0, n.living(l.life, l.next))
	}
}

type port struct{ n *node }

func (p port) Send(to uint64, m *peerpb.Message) { p.n.w.net.send(p.n, to, m) }

func exponential(rng *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(rng.ExpFloat64()*float64(mean)) + time.Microsecond
}
