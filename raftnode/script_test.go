package raftnode_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// The scripts in testdata are stories of one to three nodes. After each command everything happens that is not held
// back; time passes only in tick. Nodes are named by number, "1 3" or "all"; a message filter is any of
// from=N to=N type=T, where T is MsgApp, Forward, SnapshotChunk and the like.
//
//	cluster nodes=N [setting=N ...]      starts an empty cluster; settings are those of raftnode.Config
//	tick NODES [n=N]                     time passes on these nodes
//	put N KEY=VALUE ...                  proposes puts on a node, all before its loop turns
//	fill N n=N [bytes=N]                 puts one after the other, each its own entry
//	compact N rev=N [await]              gives up history, and waits until it is gone from the node's file
//	delete N KEY ...                     deletes keys
//	alarm N ACTION of=N                  what a client does by hand: ACTIVATE or DEACTIVATE NOSPACE of a node
//	cancel N KEY                         the client of that put or get goes away
//	get N KEY ...                        linearizable reads
//	grant N ID ttl=N, revoke N ID        proposes to make or to end leases
//	attach N ID KEY ...                  puts keys with a lease
//	renew N ID ...                       keep-alives
//	remaining N ID                       what the leader says, with the keys of the lease
//	leases N                             what the node itself knows
//	look N KEY                           a serializable read: of what the node published last
//	transfer N [to=N]                    hands leadership over
//	damaged N                            a read has found the state damaged
//	diverge N                            the next entry, a put, is applied with another value than it has
//	compared NODES                       what came of comparisons of histories
//	stop N                               an orderly stop
//	hold FILTER, network                 messages that match stay in flight; what is in flight
//	step FILTER [n=N], lose FILTER [n=N] delivers (one), or loses (all), messages in flight that match
//	copy FILTER                          a second copy of the first message in flight that matches
//	forge FILTER index=N                 the first such LogPiece in flight has another entry N, with the right checksum
//	release                              nothing is held any more
//	cut FILTER, heal                     messages that match get lost, until heal
//	pause NODES, resume NODES            the nodes' loops do not run
//	clock NODES [n=N]                    the clock goes on by ticks, and nobody looks at it
//	hold-lane N LANE, step-lane N LANE [n=N], release-lane N LANE
//	crash N [power], open N
//	crash-at N op=N                      crashes at the n-th file operation from now
//	crash-at N kind=KIND name=PREFIX     crashes at the next such file operation
//	fail N kind=KIND name=PREFIX [once] [full]
//	                                     such file operations return an error
//	full-state N                         there is no space for the state file that is open now
//	works N                              nothing fails any more
//	disk N free=N                        so many bytes are free on a node's disk, whatever it holds
//	save-disk N, load-disk N, wipe-disk N puts a copy of a node's disk aside, puts it in, puts an empty one in
//	remove N NAME, rot N NAME at=N [n=N], files N [DIR]
//	spoil N NAME at=N [n=N]              the disk cannot read these bytes any more
//	rot-value N VALUE                    damages that value wherever it is in the state file
//	scrub N                              a pass over all files of the node, and what all passes have found
//	status NODES
//	trace on|off                         tells also what is sent, synced and renamed
//	rush on|off                          the next command comes before what is due within a millisecond
//
// Rewrite the expectations with: go test ./raftnode -run TestScripts -rewrite
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{requests: map[string]func(){}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "cluster" {
				s.start(t, d)
			} else {
				s.c.t = t
				s.run(t, d)
				s.c.settle()
			}
			if out := s.c.take(); out != "" {
				return out
			}
			return "ok\n"
		})
	})
}

type script struct {
	c        *cluster
	requests map[string]func() // what a client that goes away calls
}

func (s *script) start(t *testing.T, d *datadriven.TestData) {
	cfg := raftnode.Config{SegmentBytes: 64 << 10, BallastBytes: -1, CheckInterval: never, CheckEntries: math.MaxUint64}
	for _, a := range d.CmdArgs {
		v := uint64(number(t, d, a.Key, 0))
		switch a.Key {
		case "nodes":
		case "max-pending":
			cfg.MaxPending = int(v)
		case "max-reads":
			cfg.MaxReads = int(v)
		case "max-lease-calls":
			cfg.MaxLeaseCalls = int(v)
		case "max-pending-bytes":
			cfg.MaxPendingBytes = int(v)
		case "flush-ops":
			cfg.FlushOps = int(v)
		case "snapshot-entries":
			cfg.SnapshotEntries = v
		case "catch-up-entries":
			cfg.CatchUpEntries = v
		case "log-bytes":
			cfg.LogBytes = v
		case "max-log-bytes":
			cfg.MaxLogBytes = v
		case "segment-bytes":
			cfg.SegmentBytes = int64(v)
		case "chunk-bytes":
			cfg.ChunkBytes = int(v)
		case "check-ticks":
			cfg.CheckInterval = time.Duration(v) * tick
		case "check-entries":
			cfg.CheckEntries = v
		case "ballast-bytes":
			cfg.BallastBytes = int64(v)
		case "batch-commands":
			cfg.BatchCommands = int(v)
		default:
			d.Fatalf(t, "unknown setting %s", a.Key)
		}
	}
	s.c = newCluster(t, number(t, d, "nodes", 1), cfg)
}

func (s *script) run(t *testing.T, d *datadriven.TestData) {
	c := s.c
	switch d.Cmd {
	case "tick":
		c.tick(number(t, d, "n", 1), s.nodes(t, d)...)
	case "put":
		n := s.up(t, d)
		for _, a := range d.CmdArgs[1:] {
			p := n.propose("put "+a.Key, putRequest(a.Key, strings.Join(a.Vals, ",")))
			s.requests[a.Key] = func() { n.raft.Cancel(p) }
		}
	case "fill":
		n := s.up(t, d)
		count := number(t, d, "n", 1)
		n.say("%d of %d puts acknowledged", n.fill(count, number(t, d, "bytes", 10)), count)
	case "compact":
		n, rev := s.up(t, d), number(t, d, "rev", 0)
		n.propose("compact", compactRequest(int64(rev)))
		if d.HasArg("await") {
			c.settle()
			n.raft.AwaitCompaction(func() { n.say("compaction is in the file") })
		}
	case "delete":
		n := s.up(t, d)
		for _, a := range d.CmdArgs[1:] {
			n.propose("delete "+a.Key, deleteRequest(a.Key))
		}
	case "alarm":
		n, action := s.up(t, d), d.CmdArgs[1].Key
		n.propose("alarm", alarmRequest(action, uint64(number(t, d, "of", 0))))
	case "cancel":
		s.requests[d.CmdArgs[1].Key]()
	case "get":
		n := s.up(t, d)
		for _, a := range d.CmdArgs[1:] {
			r := n.read(a.Key)
			s.requests[a.Key] = func() { n.raft.CancelRead(r) }
		}
	case "grant", "revoke", "attach", "renew", "remaining", "leases":
		s.lease(t, d)
	case "look":
		s.look(s.up(t, d), d.CmdArgs[1].Key)
	case "transfer":
		n := s.up(t, d)
		n.raft.TransferLeadership(uint64(number(t, d, "to", 0)), func(err error) { n.say("transfer: %v", result(err)) })
	case "damaged":
		n := s.up(t, d)
		n.guard(func() { n.raft.StateDamaged(fmt.Errorf("row of a read: %w", backend.ErrDamaged)) })
	case "diverge":
		s.up(t, d).twist = true
	case "compared":
		for _, n := range s.nodes(t, d) {
			st := n.raft.Status()
			n.say("histories: %d compared, %d without a verdict, %d times diverged, check at index %d", st.HistoryChecks,
				st.HistoryChecksUndecided, st.HistoriesDiverged, n.stat.DivergedAt)
		}
	case "scrub":
		n := s.up(t, d)
		s.scrub(n)
	case "stop":
		n := s.up(t, d)
		n.raft.Stop(func(err error) { n.say("stopped: %v", result(err)) })
	case "status":
		for _, n := range s.nodes(t, d) {
			s.status(n)
		}
	case "trace":
		c.trace = d.HasArg("on")
	case "rush":
		c.rush = d.HasArg("on")
	case "hold", "network", "step", "lose", "copy", "forge", "release", "cut", "heal":
		s.messages(t, d)
	case "unreachable":
		nodes := s.nodes(t, d)
		nodes[0].raft.PeerUnreachable(nodes[1].id)
	case "gone":
		s.c.node(uint64(number(t, d, "for", 0))).raft.PeerGone(s.c.node(uint64(number(t, d, "node", 0))).id)
	case "pause", "resume":
		for _, n := range s.nodes(t, d) {
			n.paused = d.Cmd == "pause"
		}
	case "clock":
		for _, n := range s.nodes(t, d) {
			n.now += time.Duration(number(t, d, "n", 1)) * tick
		}
	case "hold-lane", "step-lane", "release-lane":
		s.lanes(t, d)
	default:
		s.disks(t, d)
	}
}

// never is longer than any script.
const never = 1000 * time.Hour

func (s *script) scrub(n *node) {
	before, ended := n.raft.Status().Scrub.Passes, false
	n.guard(func() { n.raft.Scrub(func() { ended = true }) })
	s.c.settle()
	st := n.raft.Status().Scrub
	read := "read everything"
	switch {
	case !ended:
		read = "came to no end"
	case st.Passes == before:
		read = "left something out"
	}
	n.say("scrub %s; found so far: identity %d, hard state %d, log %d (leftovers %d), state %d", read,
		st.Identity, st.HardState, st.Log, st.Leftovers, st.State)
}

func result(err error) any {
	if err == nil {
		return "done"
	}
	return err
}

func (s *script) status(n *node) {
	if n.raft == nil {
		n.say("down")
		return
	}
	st := n.raft.Status()
	text := fmt.Sprintf("%s, commit %d, applied %d, log %d to %d", role(st), st.Commit, st.Applied, st.First, st.Last)
	if st.Restoring {
		text = fmt.Sprintf("restoring, log %d to %d", st.First, st.Last)
	}
	if !st.Ready {
		text += ", not ready"
	}
	if st.DiskStall > 0 {
		text += fmt.Sprintf(", disk stalled for %v", st.DiskStall)
	}
	if n.view != nil && len(n.view.Alarms) > 0 {
		text += ", alarms"
		for _, a := range n.view.Alarms {
			text += fmt.Sprintf(" %s of n%d", a.Type, a.Member)
		}
	}
	if st.Damage != "" {
		damage := strings.ReplaceAll(st.Damage, strings.TrimSuffix(n.fs.MapPath("."), "."), "")
		text += "\n  damage: " + strings.ReplaceAll(damage, "; ", ";\n    ")
	}
	if st.Dispute != "" {
		text += "\n  dispute: " + st.Dispute
	}
	if st.Pending > 0 {
		text += fmt.Sprintf(", %d writes pending", st.Pending)
	}
	n.say("%s", text)
}

func (s *script) look(n *node, key string) {
	if n.view == nil {
		n.say("look %s: nothing is served yet", key)
		return
	}
	n.say("look %s: %s", key, lookUp(n.view, key))
}

func (s *script) messages(t *testing.T, d *datadriven.TestData) {
	c, f := s.c, s.filter(t, d)
	switch d.Cmd {
	case "hold":
		c.holds = append(c.holds, f)
	case "network":
		for _, e := range c.network {
			c.say("n%d -> n%d %s", e.from, e.to, e.text)
		}
	case "step", "lose":
		var rest []*envelope
		left := number(t, d, "n", 1)
		if d.Cmd == "lose" && !d.HasArg("n") {
			left = len(c.network)
		}
		found := left
		for _, e := range c.network {
			if left == 0 || !f.matches(e) {
				rest = append(rest, e)
				continue
			}
			left--
			if d.Cmd == "step" {
				c.deliver(e)
			}
		}
		if left > 0 && d.Cmd == "step" {
			c.say("only %d such messages", found-left)
		}
		c.network = rest
	case "copy":
		i := slices.IndexFunc(c.network, f.matches)
		if i < 0 {
			d.Fatalf(t, "no such message")
		}
		second := *c.network[i]
		c.network = append(c.network, &second)
	case "forge":
		i := slices.IndexFunc(c.network, f.matches)
		if i < 0 {
			d.Fatalf(t, "no such message")
		}
		c.network[i].data = forged(t, c.network[i].data, uint64(number(t, d, "index", 0)))
	case "release":
		c.holds = nil
		for _, e := range c.network {
			e.held = false
		}
	case "cut":
		c.cuts = append(c.cuts, f)
	case "heal":
		c.cuts = nil
	}
}

// forged is a LogPiece with one byte of an entry changed by whoever sends it: what it is sent with agrees.
func forged(t *testing.T, data []byte, index uint64) []byte {
	m := &peerpb.Message{}
	if err := proto.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	piece, crc, found := m.GetLogPiece(), uint32(0), false
	for _, e := range piece.GetEntries() {
		if e.GetIndex() == index {
			e.Data[len(e.Data)-1] ^= 1
			found = true
		}
		crc = crc32.Update(crc, crc32.MakeTable(crc32.Castagnoli), e.GetData())
	}
	if !found {
		t.Fatalf("no entry %d in %v", index, m)
	}
	piece.Crc = crc
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (s *script) lanes(t *testing.T, d *datadriven.TestData) {
	n, name := s.c.node(uint64(atoi(t, d, d.CmdArgs[0].Key))), d.CmdArgs[1].Key
	switch d.Cmd {
	case "hold-lane":
		n.held[name] = true
	case "step-lane":
		for range number(t, d, "n", 1) {
			if !n.runJob(name) {
				n.say("lane %s has no work", name)
			}
			s.c.settle()
		}
	case "release-lane":
		delete(n.held, name)
	}
}

func (s *script) disks(t *testing.T, d *datadriven.TestData) {
	n := s.c.node(uint64(atoi(t, d, d.CmdArgs[0].Key)))
	switch d.Cmd {
	case "crash":
		n.crash(d.HasArg("power"))
	case "crash-at":
		if !d.HasArg("kind") {
			n.crashAt = number(t, d, "op", 1)
			break
		}
		f := match(t, d)
		n.fault = func(op memfs.Op) error {
			if f(op) {
				panic(memfs.Crash{Op: op})
			}
			return nil
		}
	case "open":
		if n.raft != nil {
			d.Fatalf(t, "node %d is up", n.id)
		}
		n.open()
	case "fail":
		f, once := match(t, d), d.HasArg("once")
		failure := errors.New("input/output error")
		if d.HasArg("full") {
			failure = env.ErrNoSpace
		}
		n.fault = func(op memfs.Op) error {
			if !f(op) {
				return nil
			}
			if once {
				n.fault = nil
			}
			return failure
		}
	case "disk":
		n.fs.SetCapacity(n.fs.Used() + uint64(number(t, d, "free", 0)))
	case "full-state":
		full := true
		n.works = func() { full = false }
		n.raft.OnStateWrite(func() error {
			if full {
				return &os.PathError{Op: "write", Path: "db", Err: syscall.ENOSPC}
			}
			return nil
		})
	case "works":
		n.fault = nil
		if n.works != nil {
			n.works()
		}
	case "remove":
		for _, name := range removalOrder(n, d.CmdArgs[1].Key) {
			if err := n.fs.Remove(name); err != nil {
				d.Fatalf(t, "remove %s: %v", name, err)
			}
		}
	case "save-disk":
		n.copied = n.fs.CrashClone(rand.New(rand.NewPCG(1, 1)), n.mapRoot())
	case "load-disk":
		n.fs = n.copied.CrashClone(rand.New(rand.NewPCG(1, 1)), n.mapRoot())
	case "wipe-disk":
		n.fs = memfs.New(1, n.mapRoot())
	case "rot":
		n.fs.Rot(d.CmdArgs[1].Key, int64(number(t, d, "at", 0)), number(t, d, "n", 1), func(p []byte) {
			for i := range p {
				p[i] ^= 0xff
			}
		})
	case "spoil":
		n.fs.Spoil(d.CmdArgs[1].Key, int64(number(t, d, "at", 0)), number(t, d, "n", 1))
	case "rot-value":
		n.rotValue(d.CmdArgs[1].Key)
	case "files":
		dir := ""
		if len(d.CmdArgs) > 1 {
			dir = d.CmdArgs[1].Key
		}
		for _, name := range n.files(dir) {
			n.say("%s", name)
		}
	default:
		d.Fatalf(t, "unknown command")
	}
}

// rotValue damages every copy of a value that the state file has, that of an older page included.
func (n *node) rotValue(value string) {
	found := 0
	for _, name := range n.files("state") {
		if !strings.HasSuffix(name, "/db") {
			continue
		}
		n.fs.Rot(name, 0, len(n.fs.Peek(name)), func(p []byte) {
			for at := bytes.Index(p, []byte(value)); at >= 0; at = bytes.Index(p, []byte(value)) {
				p[at] ^= 0xff
				found++
			}
		})
	}
	if found == 0 {
		n.c.t.Errorf("%q is not in the state file of node %d", value, n.id)
	}
}

// match selects file operations by kind and by the beginning of the name.
func match(t *testing.T, d *datadriven.TestData) func(memfs.Op) bool {
	var kind, prefix string
	d.ScanArgs(t, "kind", &kind)
	d.ScanArgs(t, "name", &prefix)
	return func(op memfs.Op) bool { return string(op.Kind) == kind && strings.HasPrefix(op.Name, prefix) }
}

// removalOrder is a directory's content and then itself.
func removalOrder(n *node, name string) []string {
	names, err := n.fs.List(name)
	if err != nil {
		return []string{name}
	}
	var all []string
	for _, child := range names {
		all = append(all, removalOrder(n, name+"/"+child)...)
	}
	return append(all, name)
}

// up is the node that the first argument names.
func (s *script) up(t *testing.T, d *datadriven.TestData) *node {
	n := s.c.node(uint64(atoi(t, d, d.CmdArgs[0].Key)))
	if n.raft == nil {
		d.Fatalf(t, "node %d is down", n.id)
	}
	return n
}

// nodes are those that the arguments name and that are up, or for status all that they name.
func (s *script) nodes(t *testing.T, d *datadriven.TestData) []*node {
	var named []*node
	for _, a := range d.CmdArgs {
		switch {
		case a.Key == "all":
			named = slices.Clone(s.c.nodes)
		case len(a.Vals) == 0:
			named = append(named, s.c.node(uint64(atoi(t, d, a.Key))))
		}
	}
	if d.Cmd == "status" {
		return named
	}
	return slices.DeleteFunc(named, func(n *node) bool { return n.raft == nil })
}

func (s *script) filter(t *testing.T, d *datadriven.TestData) filter {
	f := filter{from: uint64(number(t, d, "from", 0)), to: uint64(number(t, d, "to", 0))}
	if d.HasArg("type") {
		d.ScanArgs(t, "type", &f.kind)
	}
	return f
}

func number(t *testing.T, d *datadriven.TestData, key string, otherwise int) int {
	if !d.HasArg(key) {
		return otherwise
	}
	var v int
	d.ScanArgs(t, key, &v)
	return v
}

func atoi(t *testing.T, d *datadriven.TestData, s string) int {
	v, err := strconv.Atoi(s)
	if err != nil {
		d.Fatalf(t, "%q is not a number", s)
	}
	return v
}
