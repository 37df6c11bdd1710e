package raftnode_test

import (
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/check"
	"github.com/quorumkv/quorumkv/storage/mvcc"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

const tick = 100 * time.Millisecond

// cluster is a few nodes in one goroutine, whose every step a test can hold back: loops, lanes, messages, time. What
// nobody holds back happens at once, in a fixed order, in settle.
type cluster struct {
	t     testing.TB
	cfg   raftnode.Config // what the nodes have in common
	nodes []*node
	out   strings.Builder // what happened since it was last taken
	trace bool            // also tell what is synced and sent
	rush  bool            // brief timers do not fire

	network []*envelope // in flight, oldest first
	holds   []filter    // messages that stay in flight until told otherwise
	cuts    []filter    // messages that get lost

	running *node             // whose code runs now: whoever draws an election timeout
	hashes  map[uint64]uint64 // applied index -> history hash, the same on every node
	crashes *rand.Rand
}

// node is one member: its disk, which survives, and its process.
type node struct {
	c    *cluster
	id   uint64
	fs   *memfs.FS
	life int
	boot *rand.Rand

	raft   *raftnode.Node // nil while down
	stat   raftnode.Status
	view   *apply.View // as last published
	now    time.Duration
	timers []*timer
	posted []func()
	lanes  map[string]*lane
	held   map[string]bool // lanes that do not run by themselves
	paused bool            // the loop does not run

	crashAt int                  // file operations left until the process dies; 0: it lives
	fault   func(memfs.Op) error // decides about each file operation
	twist   bool                 // the next put is applied with another value
	odd     uint64               // the index where that happened, until the state is replaced; 0: it did not
	oddFile string               // and what CURRENT was
	copied  *memfs.FS            // what a script put aside of the disk
	works   func()               // gives the state file its space back; nil if it has it
}

// newCluster makes the nodes and starts them. Node i has no patience with a silent leader for 10+3(i-1) ticks, so that
// a script knows who will stand for election first.
func newCluster(t testing.TB, nodes int, cfg raftnode.Config) *cluster {
	c := newDisks(t, nodes, cfg)
	for _, n := range c.nodes {
		n.open()
	}
	c.settle()
	return c
}

// newDisks makes nodes that have never been started.
func newDisks(t testing.TB, nodes int, cfg raftnode.Config) *cluster {
	c := &cluster{t: t, cfg: cfg, hashes: map[uint64]uint64{}, crashes: rand.New(rand.NewPCG(7, 7))}
	real := cryptorand.Reader
	cryptorand.Reader = patience{c}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			if n.raft != nil {
				n.raft.Abandon()
			}
		}
		cryptorand.Reader = real
	})
	for i := range nodes {
		id := uint64(i + 1)
		c.cfg.Members = append(c.cfg.Members, apply.Member{ID: id, Name: fmt.Sprintf("n%d", id),
			PeerURLs: []string{fmt.Sprintf("http://10.0.0.%d:2380", id)}})
		n := &node{c: c, id: id, boot: rand.New(rand.NewPCG(1, id)), held: map[string]bool{}}
		n.fs = memfs.New(id, n.mapRoot())
		c.nodes = append(c.nodes, n)
	}
	return c
}

// ramDisk is where bbolt's files cost no disk access, if the system has such a place.
func ramDisk() string {
	if s, err := os.Stat("/dev/shm"); err == nil && s.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

func (n *node) mapRoot() string {
	dir, err := os.MkdirTemp(ramDisk(), "raftnode-")
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.c.t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (c *cluster) say(format string, args ...any) { fmt.Fprintf(&c.out, format+"\n", args...) }

func (n *node) say(format string, args ...any) {
	n.c.say("n%d: "+format, append([]any{n.id}, args...)...)
}

// take returns what was said and forgets it.
func (c *cluster) take() string {
	s := c.out.String()
	c.out.Reset()
	return s
}

func (c *cluster) node(id uint64) *node { return c.nodes[id-1] }

func (c *cluster) up() []*node {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n *node) bool { return n.raft == nil })
}

// open boots the process on its disk as it is.
func (n *node) open() {
	n.life++
	life := n.life
	n.stat, n.view, n.timers, n.posted, n.lanes = raftnode.Status{}, nil, nil, nil, map[string]*lane{}
	n.fs.SetHook(n.hook)
	cfg := n.c.cfg
	cfg.ClusterID, cfg.MemberID = 1, n.id
	cfg.Tick = tick
	cfg.Backend = backend.Options{MapBytes: 1 << 20, NoSync: true}
	cfg.Publish = func(s raftnode.Status, v *apply.View) {
		if n.life == life {
			n.published(s, v)
		}
	}
	cfg.BeforeApply = n.beforeApply
	cfg.Failed = func(err error) { n.say("FAILED: %v", err) }
	var opened *raftnode.Node
	n.guard(func() {
		var err error
		if opened, err = raftnode.Open(n.env(), cfg); err != nil {
			n.say("does not open: %v", err)
		}
	})
	if opened == nil {
		return
	}
	if string(n.fs.Peek("state/CURRENT")) != n.oddFile {
		n.odd = 0
	}
	n.raft = opened
	n.guard(opened.Start)
}

// beforeApply changes the last byte of an entry, which is in the value of a put, if it is to: each node in its own way.
func (n *node) beforeApply(entries []*raftpb.Entry) []*raftpb.Entry {
	if !n.twist || len(entries) == 0 || len(entries[0].GetData()) == 0 {
		return entries
	}
	n.twist, n.odd, n.oddFile = false, entries[0].GetIndex(), string(n.fs.Peek("state/CURRENT"))
	e := proto.CloneOf(entries[0])
	e.Data[len(e.Data)-1] ^= byte(n.id)
	return append([]*raftpb.Entry{e}, entries[1:]...)
}

// hook sees every file operation.
func (n *node) hook(op memfs.Op) error {
	if n.crashAt > 0 {
		if n.crashAt--; n.crashAt == 0 {
			panic(memfs.Crash{Op: op})
		}
	}
	if n.fault != nil {
		if err := n.fault(op); err != nil {
			return err
		}
	}
	if n.c.trace && (op.Kind == memfs.OpSync || op.Kind == memfs.OpRename) {
		n.say("%s %s", op.Kind, strings.TrimSuffix(op.Name, ".tmp")) // a handle keeps the name it was made under
	}
	return nil
}

// published tells of changes in who leads, and compares histories.
func (n *node) published(s raftnode.Status, v *apply.View) {
	old := n.stat
	n.stat, n.view = s, v
	if s.Role != old.Role || s.Leader != old.Leader || s.Term != old.Term {
		n.say("%s", role(s))
	}
	if s.Applied == 0 {
		return
	}
	if s.SnapshotsInstalled > old.SnapshotsInstalled {
		n.odd = 0
	}
	hash, ok := n.c.hashes[s.Applied]
	if odd := n.odd > 0 && s.Applied >= n.odd; ok && odd == (hash == s.HistoryHash) {
		n.c.t.Errorf("node %d has history hash %x at index %d, another node had %x", n.id, s.HistoryHash, s.Applied, hash)
	} else if odd {
		return
	}
	n.c.hashes[s.Applied] = s.HistoryHash
}

func role(s raftnode.Status) string {
	switch {
	case s.Leader == s.MemberID:
		return fmt.Sprintf("leads in term %d", s.Term)
	case s.Leader != 0:
		return fmt.Sprintf("follows n%d in term %d", s.Leader, s.Term)
	}
	return fmt.Sprintf("%s without a leader in term %d", strings.TrimPrefix(s.Role.String(), "State"), s.Term)
}

// guard runs a piece of the process. A crash in it takes the process down, with what the kernel has kept.
func (n *node) guard(f func()) {
	before := n.c.running
	n.c.running = n
	crashed, _ := memfs.Catch(func() error { f(); return nil })
	n.c.running = before
	if crashed {
		n.say("dies")
		n.crash(false)
	}
}

func (n *node) crash(power bool) {
	n.fs.Kill()
	if n.raft != nil {
		n.raft.Abandon()
	}
	n.raft, n.view, n.posted, n.timers, n.lanes = nil, nil, nil, nil, nil
	n.held, n.paused, n.crashAt, n.fault, n.works = map[string]bool{}, false, 0, nil, nil
	n.life++
	if power {
		n.fs = n.fs.CrashClone(n.c.crashes, n.mapRoot())
	} else {
		n.fs = n.fs.ProcessCrash()
	}
}

// expectSound checks the files that a crash left: the offline check must not take for damage what no disk did.
func (n *node) expectSound() {
	n.c.t.Helper()
	report, err := check.Run(n.fs, check.Options{Dir: fmt.Sprintf("n%d", n.id)})
	if err != nil && !errors.Is(err, check.ErrNoData) {
		n.c.t.Errorf("check the files of node %d: %v", n.id, err)
	}
	for _, f := range report.Findings {
		if f.Start != check.Note {
			n.c.t.Errorf("the check calls the files of node %d damaged: %s: %s", n.id, f.File, f.What)
		}
	}
}

// settle lets everything happen that is not held back, until nothing is left to do.
func (c *cluster) settle() {
	for range 1_000_000 {
		if !c.step() {
			return
		}
	}
	c.t.Fatalf("the cluster does not come to rest:\n%s", c.out.String())
}

// step takes one step: a turn of every loop, else one lane job, else one message, else one brief timer.
func (c *cluster) step() bool {
	moved := false
	for _, n := range c.nodes {
		for len(n.posted) > 0 && !n.paused && n.raft != nil {
			f := n.posted[0]
			n.posted = n.posted[1:]
			n.guard(f)
			moved = true
		}
	}
	if moved {
		return true
	}
	for _, n := range c.nodes {
		for _, name := range []string{"peers", "wal", "apply", "flush", "snap", "scrub"} {
			if !n.held[name] && n.runJob(name) {
				return true
			}
		}
	}
	i := slices.IndexFunc(c.network, func(e *envelope) bool { return !e.held })
	if i < 0 {
		return slices.ContainsFunc(c.nodes, (*node).fireBrief)
	}
	e := c.network[i]
	c.network = slices.Delete(c.network, i, i+1)
	c.deliver(e)
	return true
}

// fireBrief fires the oldest brief timer, if there is one.
func (n *node) fireBrief() bool {
	i := slices.IndexFunc(n.timers, func(t *timer) bool { return t.brief })
	if i < 0 || n.c.rush || n.paused || n.raft == nil {
		return false
	}
	t := n.timers[i]
	n.timers = slices.Delete(n.timers, i, i+1)
	n.posted = append(n.posted, t.f)
	return true
}

// runJob runs the next job of a lane, if there is one.
func (n *node) runJob(name string) bool {
	l := n.lanes[name]
	if l == nil || len(l.jobs) == 0 {
		return false
	}
	j := l.jobs[0]
	l.jobs = l.jobs[1:]
	life := n.life
	var err error
	n.guard(func() { err = j.work() })
	if n.life == life {
		n.posted = append(n.posted, func() { j.done(err) })
	}
	return true
}

func (c *cluster) deliver(e *envelope) {
	n := c.node(e.to)
	if n.raft == nil || matchesAny(c.cuts, e) {
		return
	}
	m := &peerpb.Message{}
	if err := proto.Unmarshal(e.data, m); err != nil {
		c.t.Fatal(err)
	}
	receive := func() {
		n.raft.Admit(e.from, e.hello, func(err error) {
			var refusal peerpb.Refusal
			if errors.As(err, &refusal) {
				n.say("refuses n%d: %v", e.from, err)
				if s := c.node(e.from); s.life == e.life && s.raft != nil {
					s.posted = append(s.posted, func() { s.raft.Disowned(n.id, string(refusal)) })
				}
			}
			n.raft.Receive(e.hello.Boot, m) // which looks for itself
		})
	}
	// Who sends looks first whether the other is who it was.
	s, life, hello := c.node(e.from), n.life, n.raft.Hello()
	if s.life != e.life || s.raft == nil || s.paused {
		n.posted = append(n.posted, receive)
		return
	}
	s.posted = append(s.posted, func() {
		s.raft.Admit(n.id, hello, func(err error) {
			if (err == nil || errors.Is(err, raftnode.ErrStopped)) && n.life == life {
				n.posted = append(n.posted, receive)
			}
		})
	})
}

// tick lets time pass on some nodes and on no other.
func (c *cluster) tick(times int, nodes ...*node) {
	for range times {
		for _, n := range nodes {
			n.now += tick
			due := slices.Clone(n.timers)
			n.timers = nil
			for _, t := range due {
				if t.at <= n.now {
					n.posted = append(n.posted, t.f)
				} else {
					n.timers = append(n.timers, t)
				}
			}
			c.settle()
		}
	}
}

func putRequest(key, value string) []byte {
	b, err := proto.Marshal(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}})
	if err != nil {
		panic(err)
	}
	return b
}

func deleteRequest(key string) []byte {
	b, err := proto.Marshal(&pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{Key: []byte(key)}})
	if err != nil {
		panic(err)
	}
	return b
}

func alarmRequest(action string, member uint64) []byte {
	b, err := proto.Marshal(&pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{
		Action: pb.AlarmRequest_AlarmAction(pb.AlarmRequest_AlarmAction_value[action]), MemberID: member,
		Alarm: pb.AlarmType_NOSPACE,
	}})
	if err != nil {
		panic(err)
	}
	return b
}

func compactRequest(rev int64) []byte {
	b, err := proto.Marshal(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: rev}})
	if err != nil {
		panic(err)
	}
	return b
}

// propose sends a request through a node and tells of its end.
func (n *node) propose(name string, request []byte) *raftnode.Proposal {
	p := &raftnode.Proposal{Request: request, Done: func(r apply.Response, err error) {
		if err != nil {
			n.say("%s: %v", name, err)
			return
		}
		n.say("%s: done at revision %d", name, r.Revision)
	}}
	n.guard(func() { n.raft.Propose(p) })
	return p
}

// fill puts one key after the other, each in an entry of its own, and returns how many were acknowledged.
func (n *node) fill(count, bytes int) int {
	acked := 0
	for i := range count {
		p := &raftnode.Proposal{
			Request: putRequest(fmt.Sprintf("fill%d", i%10), strings.Repeat("x", bytes)),
			Done: func(_ apply.Response, err error) {
				if err == nil {
					acked++
				}
			},
		}
		n.guard(func() { n.raft.Propose(p) })
		n.c.settle()
	}
	return acked
}

// read reads a key linearizably and tells of the answer.
func (n *node) read(key string) *raftnode.Read {
	r := &raftnode.Read{Done: func(v *apply.View, err error) {
		if err != nil {
			n.say("get %s: %v", key, err)
			return
		}
		n.say("get %s: %s", key, lookUp(v, key))
	}}
	n.guard(func() { n.raft.ReadIndex(r) })
	return r
}

func lookUp(v *apply.View, key string) string {
	res, err := v.KV.Range([]byte(key), nil, mvcc.RangeOptions{})
	if err != nil {
		return err.Error()
	}
	if len(res.KVs) == 0 {
		return fmt.Sprintf("none at revision %d", v.KV.Revision())
	}
	return fmt.Sprintf("%q at revision %d", res.KVs[0].Value, v.KV.Revision())
}

// files lists what a node has on disk, segments and generations without their numbers.
func (n *node) files(dir string) []string {
	names, err := n.fs.List(dir)
	if err != nil {
		return nil
	}
	var all []string
	for _, name := range names {
		full := filepath.ToSlash(filepath.Join(dir, name))
		if below := n.files(full); len(below) > 0 {
			all = append(all, below...)
		} else {
			all = append(all, full)
		}
	}
	return all
}
