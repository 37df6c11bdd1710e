package server

import (
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/transport"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// bench is member 1 of three on a test bench: its loop and lanes run when asked, in one goroutine.
type bench struct {
	t      testing.TB
	node   *raftnode.Node
	now    time.Duration
	posted []func()
	jobs   []func()
	timers []func()
	sent   []*peerpb.Message
}

const benchTick = 100 * time.Millisecond

func (b *bench) Now() time.Duration { return b.now }
func (b *bench) Wall() time.Time    { return time.Unix(0, 0) }
func (b *bench) After(_ time.Duration, f func()) (stop func()) {
	b.timers = append(b.timers, f) // only the tick uses it
	return func() {}
}

func (b *bench) Do(work func() error, done func(error)) {
	b.jobs = append(b.jobs, func() {
		err := work()
		b.posted = append(b.posted, func() { done(err) })
	})
}

func (b *bench) Send(to uint64, m *peerpb.Message) {
	if err := transport.Check(m, 1, to); err != nil {
		b.t.Errorf("sends what its peers refuse: %v", err)
	}
	b.sent = append(b.sent, m)
}

func newBench(t *testing.T) *bench {
	root, err := os.MkdirTemp("/dev/shm", "server-test-")
	if err != nil {
		root = t.TempDir()
	} else {
		t.Cleanup(func() { os.RemoveAll(root) })
	}
	b := &bench{t: t}
	e := env.Env{
		Clock: b, FS: memfs.New(1, root), Net: b, Rand: rand.New(rand.NewPCG(1, 1)),
		Post:     func(f func()) { b.posted = append(b.posted, f) },
		Lane:     func(string) env.Lane { return b },
		Together: env.OneByOne,
	}
	members := []apply.Member{{ID: 1, Name: "a"}, {ID: 2, Name: "b"}, {ID: 3, Name: "c"}}
	b.node, err = raftnode.Open(e, raftnode.Config{
		ClusterID: testCluster, MemberID: 1, Members: members, Tick: benchTick, SegmentBytes: 1 << 16,
		Backend: backend.Options{MapBytes: 1 << 20, NoSync: true},
		Failed:  func(err error) { t.Errorf("the node gave up: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.node.Abandon)
	b.node.Start()
	b.settle()
	return b
}

func (b *bench) settle() {
	for range 10_000 {
		switch {
		case len(b.posted) > 0:
			f := b.posted[0]
			b.posted = b.posted[1:]
			f()
		case len(b.jobs) > 0:
			f := b.jobs[0]
			b.jobs = b.jobs[1:]
			f()
		default:
			return
		}
	}
	b.t.Fatal("the node does not come to rest")
}

func (b *bench) tick() {
	b.now += benchTick
	due := b.timers
	b.timers = nil
	for _, f := range due {
		f()
	}
	b.settle()
}

// receive hands over what the transport lets pass, and reports whether that was so.
func (b *bench) receive(m *peerpb.Message) bool {
	if transport.Check(m, 2, 1) != nil {
		return false
	}
	run := peerpb.Hello{Boot: peerpb.Boot{Incarnation: [16]byte{2}, Epoch: 1}, Runs: []uint64{0}}
	b.node.Admit(2, run, func(err error) {
		if err != nil {
			b.t.Error(err)
		}
	})
	b.settle()
	b.node.Receive(run.Boot, m)
	b.settle()
	return true
}

func fromPeer(m *raftpb.Message) *peerpb.Message {
	m.From, m.To = new(uint64(2)), new(uint64(1))
	return &peerpb.Message{From: 2, To: 1, Body: &peerpb.Message_Raft{Raft: m}}
}

func fetchAt(offset uint64) *peerpb.Message {
	return &peerpb.Message{Body: &peerpb.Message_SnapshotFetch{SnapshotFetch: &peerpb.SnapshotFetch{Offset: offset}}}
}

// lead makes the node leader: it stands for election, and a peer votes for it.
func (b *bench) lead() {
	for range 100 {
		b.tick()
		for len(b.sent) > 0 {
			m := b.sent[0].GetRaft()
			b.sent = b.sent[1:]
			answer := map[raftpb.MessageType]raftpb.MessageType{
				raftpb.MsgPreVote: raftpb.MsgPreVoteResp,
				raftpb.MsgVote:    raftpb.MsgVoteResp,
				raftpb.MsgApp:     raftpb.MsgAppResp,
			}
			if kind, ok := answer[m.GetType()]; ok && m.GetTo() == 2 {
				last := m.GetIndex() + uint64(len(m.GetEntries()))
				b.receive(fromPeer(&raftpb.Message{Type: new(kind), Term: new(m.GetTerm()), Index: new(last)}))
			}
		}
		if s := b.node.Status(); s.Leader == 1 && s.Applied >= 2 {
			return
		}
	}
	b.t.Fatal("no leader")
}

// follow gives the node a leader and three entries.
func (b *bench) follow() {
	app := &raftpb.Message{Type: new(raftpb.MsgApp), Term: new(uint64(2)), Index: new(uint64(1)), LogTerm: new(uint64(1)),
		Commit: new(uint64(3))}
	for i := range uint64(3) {
		app.Entries = append(app.Entries, &raftpb.Entry{Index: new(i + 2), Term: new(uint64(2))})
	}
	b.receive(fromPeer(app))
	if s := b.node.Status(); s.Leader != 2 || s.Applied != 3 {
		b.t.Fatalf("does not follow: %+v", s)
	}
}

// lie reports whether a message claims what no member that keeps raft's rules can claim to this node. raft trusts its
// peers there and panics, which stops the node before it can do harm.
func lie(m *raftpb.Message, s raftnode.Status) bool {
	const wrapsAround = 1 << 62 // terms and indexes that no cluster lives to see
	if m.GetType() < 0 {
		return true // transport.Check asks raft.IsLocalMsg, which panics
	}
	snapshot := m.GetSnapshot().GetMetadata().GetIndex()
	if m.GetTerm() >= wrapsAround || m.GetIndex() >= wrapsAround || snapshot >= wrapsAround {
		return true
	}
	switch m.GetType() {
	case raftpb.MsgHeartbeat: // a leader tells nobody to commit what it does not know him to have
		return m.GetCommit() > s.Last
	case raftpb.MsgTransferLeader, raftpb.MsgForgetLeader: // both are asked of the own node only
		return true
	case raftpb.MsgReadIndex: // it is sent outside of any term
		return m.GetTerm() != 0
	case raftpb.MsgAppResp: // nobody has more than the leader sent
		return s.Role == raft.StateLeader && m.GetIndex() > s.Last
	case raftpb.MsgApp, raftpb.MsgSnap:
		if s.Role == raft.StateLeader && m.GetTerm() == s.Term {
			return true // two leaders in one term
		}
		for _, e := range m.GetEntries() { // what is committed does not change
			if e.GetIndex() <= s.Commit {
				return true
			}
		}
	}
	return false
}

// FuzzReceive gives a follower, or a leader, two messages that transport.Check admits, and then some time. It must not
// panic, must not give up its disk, and must go on.
func FuzzReceive(f *testing.F) {
	add := func(bodies ...*peerpb.Message) {
		var data [2][]byte
		for i, m := range bodies {
			b, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			data[i] = b
		}
		f.Add(false, data[0], data[1])
		f.Add(true, data[0], data[1])
	}
	// seed is a message of a kind, in the node's term or the next.
	seed := func(kind raftpb.MessageType, term uint64) *peerpb.Message {
		m := &raftpb.Message{Type: new(kind), Term: new(term), Index: new(uint64(3)), LogTerm: new(uint64(2)),
			Commit: new(uint64(2))}
		switch kind {
		case raftpb.MsgApp:
			m.Index = new(uint64(4))
			m.Entries = []*raftpb.Entry{{Index: new(uint64(5)), Term: new(uint64(2)), Data: []byte("not an envelope")}}
		case raftpb.MsgReadIndex, raftpb.MsgReadIndexResp:
			m.Entries = []*raftpb.Entry{{Data: []byte("context")}}
		case raftpb.MsgSnap:
			m.Snapshot = &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(9)), Term: new(term),
				ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}}}
		}
		return fromPeer(m)
	}
	for _, kind := range slices.Sorted(maps.Keys(raftpb.MessageType_name)) {
		if kind := raftpb.MessageType(kind); !raft.IsLocalMsg(kind) {
			add(seed(kind, 2), seed(kind, 3))
		}
	}
	add(fromPeer(&raftpb.Message{Type: new(raftpb.MessageType(-1)), Term: new(uint64(2))}))
	add(fetchAt(0), fetchAt(9))
	add(fetchAt(0), fetchAt(1<<63))
	request := []byte("not a request")
	commands := &peerpb.Forward{Epoch: 1, Counters: []uint64{1, 1}, Requests: [][]byte{request, request}}
	add(&peerpb.Message{Body: &peerpb.Message_Forward{Forward: commands}})
	add(&peerpb.Message{Body: &peerpb.Message_ForwardRefused{ForwardRefused: &peerpb.ForwardRefused{
		Ids: []*peerpb.RequestID{{Member: 1, Epoch: 1, Counter: 1}}}}})
	question, answer := &peerpb.RequestID{Member: 2, Epoch: 1, Counter: 1}, &peerpb.RequestID{Member: 1, Epoch: 1, Counter: 1}
	renew := &peerpb.LeaseRenew{Id: question, Applied: 2, Leases: []int64{7, 7, -1}}
	add(&peerpb.Message{Body: &peerpb.Message_LeaseRenew{LeaseRenew: renew}},
		&peerpb.Message{Body: &peerpb.Message_LeaseRoundAck{LeaseRoundAck: &peerpb.LeaseRoundAck{Term: 2, Number: 1}}})
	add(&peerpb.Message{Body: &peerpb.Message_LeaseRound{
		LeaseRound: &peerpb.LeaseRound{Term: 2, Number: 1 << 63, Leases: []int64{7}}}})
	add(&peerpb.Message{Body: &peerpb.Message_LeaseRenewed{
		LeaseRenewed: &peerpb.LeaseRenewed{Id: answer, Places: []uint32{0, math.MaxUint32}, Values: []int64{5, -1}}}})
	add(&peerpb.Message{Body: &peerpb.Message_LeaseSurvey{
		LeaseSurvey: &peerpb.LeaseSurvey{Id: question, Term: 2, Leases: []int64{7}}}},
		&peerpb.Message{Body: &peerpb.Message_LeaseTable{
			LeaseTable: &peerpb.LeaseTable{Id: answer, Term: 2, Remaining: []int64{math.MaxInt64}, Assumed: []uint32{0, 9}}}})
	for _, q := range []*peerpb.LogFetch{{Id: question, Index: 1, KnownIndex: 2, KnownTerm: 2},
		{Id: question, Index: 1 << 63, KnownIndex: math.MaxUint64}} {
		add(&peerpb.Message{Body: &peerpb.Message_LogFetch{LogFetch: q}})
	}
	add(&peerpb.Message{Body: &peerpb.Message_LogPiece{
		LogPiece: &peerpb.LogPiece{Id: answer, Source: peerpb.LogPiece_LEADS, Term: 9, Last: 9}}})
	snap := &raftpb.Message{Type: new(raftpb.MsgSnap), Term: new(uint64(2)), Snapshot: &raftpb.Snapshot{
		Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(9)), Term: new(uint64(2))}}}
	add(fromPeer(snap), &peerpb.Message{Body: &peerpb.Message_SnapshotChunk{
		SnapshotChunk: &peerpb.SnapshotChunk{Index: 9, Term: 2, Total: 100, Data: []byte("1"), Crc: 0x90f599e3}}})
	add(fromPeer(snap), &peerpb.Message{Body: &peerpb.Message_SnapshotFailed{
		SnapshotFailed: &peerpb.SnapshotFailed{Index: 9, Term: 2, Reason: "gone"}}})
	f.Fuzz(func(t *testing.T, leader bool, first, second []byte) {
		b := newBench(t)
		if leader {
			b.lead()
		} else {
			b.follow()
		}
		for _, data := range [][]byte{first, second} {
			m := &peerpb.Message{}
			if proto.Unmarshal(data, m) != nil {
				return
			}
			m.From, m.To = 2, 1
			if m.GetSnapshotFetch().GetOffset() > math.MaxInt64 {
				return // makes a slice of negative length on the snap lane
			}
			if r := m.GetRaft(); r != nil {
				r.From, r.To = new(uint64(2)), new(uint64(1))
				if lie(r, b.node.Status()) {
					return
				}
			}
			b.receive(m)
			b.tick()
		}
		for range 3 {
			b.tick()
		}
		done := false
		b.node.Stop(func(err error) {
			if done = true; err != nil {
				t.Errorf("stop: %v", err)
			}
		})
		b.settle()
		if !done {
			t.Error("the node does not stop")
		}
	})
}
