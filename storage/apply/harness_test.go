package apply

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

const testCluster = 0xc1

var testMembers = []Member{
	{ID: 1, PeerURLs: []string{"http://a:2380"}},
	{ID: 2, PeerURLs: []string{"http://b:2380"}},
	{ID: 0xffee, PeerURLs: []string{"http://c:2380"}, Learner: true},
}

// rig is a machine on a state directory that can be reopened.
type rig struct {
	t    testing.TB
	fs   env.FS
	db   *backend.DB
	m    *Machine
	self RequestID
	// next is the counter of the next command made by request.
	next uint64
	// under is the flush under way, nil if there is none; committed that the file has it.
	under     *Flush
	committed bool
}

func newRig(t testing.TB, self RequestID) *rig {
	t.Helper()
	r := &rig{t: t, fs: memfs.New(1, t.TempDir()), self: self, next: 1}
	db, err := backend.Create(r.fs, "state", backend.Options{NoSync: true}, InitialBatch(testCluster, testMembers))
	if err != nil {
		t.Fatal(err)
	}
	r.db = db
	r.load()
	t.Cleanup(func() { r.db.Close() })
	return r
}

func (r *rig) load() {
	r.t.Helper()
	r.under, r.committed = nil, false
	m, err := Open(r.db, testCluster, mvcc.Recent{Rows: -1, Bytes: -1})
	if err != nil {
		r.t.Fatal(err)
	}
	r.m = m
}

// reopen loses everything that was not flushed.
func (r *rig) reopen() {
	r.t.Helper()
	if err := r.db.Close(); err != nil {
		r.t.Fatal(err)
	}
	db, err := backend.Open(r.fs, "state", backend.Options{NoSync: true})
	if err != nil {
		r.t.Fatal(err)
	}
	r.db = db
	r.load()
}

// replay applies those of entries that the machine has not applied.
func (r *rig) replay(entries []*raftpb.Entry) []Result {
	r.t.Helper()
	applied, _ := r.m.Applied()
	at := slices.IndexFunc(entries, func(e *raftpb.Entry) bool { return e.GetIndex() == applied+1 })
	if at < 0 {
		return nil
	}
	out, err := r.m.Apply(entries[at:], r.self)
	if err != nil {
		r.t.Fatal(err)
	}
	return out.Results
}

func (r *rig) flush() {
	r.t.Helper()
	for r.under != nil {
		r.flushStep(nil)
	}
	if err := r.m.Flush(); err != nil {
		r.t.Fatal(err)
	}
}

// flushStep takes the next of the three steps of a flush; full, if not nil, is what becomes of the second.
func (r *rig) flushStep(full error) {
	r.t.Helper()
	var err error
	switch {
	case r.under == nil:
		r.under, err = r.m.Seal()
	case r.committed:
		err = r.m.Flushed(r.under, nil)
		r.under, r.committed = nil, false
	case full != nil:
		if got := r.m.Flushed(r.under, full); !errors.Is(got, full) && r.under.batch != nil {
			r.t.Fatalf("flush: %v, want %v", got, full)
		}
		r.under = nil
	default:
		err = r.under.Commit()
		r.committed = true
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) dump() string {
	r.t.Helper()
	var b strings.Builder
	if err := r.m.Dump(&b); err != nil {
		r.t.Fatal(err)
	}
	return b.String()
}

// past prints the store at each revision that can still be read.
func (r *rig) past() string {
	r.t.Helper()
	var b strings.Builder
	kv := r.m.View().KV
	for rev := max(kv.CompactRevision(), 1); rev <= kv.Revision(); rev++ {
		resp, err := Range(kv, &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Revision: rev})
		if err != nil {
			r.t.Fatal(err)
		}
		b.WriteString(printRange(resp))
	}
	return b.String()
}

// commit applies requests as one entry and returns their results.
func (r *rig) commit(requests ...*pb.InternalRaftRequest) []Result {
	r.t.Helper()
	cmds := make([]Command, len(requests))
	for i, req := range requests {
		id := r.self
		id.Counter = r.next
		r.next++
		cmds[i] = Command{ID: id, Request: mustMarshal(req)}
	}
	return r.commitBatch(cmds)
}

func (r *rig) commitBatch(cmds []Command) []Result {
	r.t.Helper()
	index, term := r.m.Applied()
	out, err := r.m.Apply([]*raftpb.Entry{entry(index+1, term, EncodeBatch(cmds))}, r.self)
	if err != nil {
		r.t.Fatal(err)
	}
	return out.Results
}

func entry(index, term uint64, data []byte) *raftpb.Entry {
	return &raftpb.Entry{Index: &index, Term: &term, Type: raftpb.EntryNormal.Enum(), Data: data}
}

func mustMarshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func putOf(key, value string) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Value: []byte(value)}}
}

func grantOf(id, ttl int64) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: id, TTL: ttl}}
}

func revokeOf(id int64) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: id}}
}

// generator makes requests over few keys, so that they meet. It breaks etcd's rules of form now and then: apply must
// hold up without them.
type generator struct {
	*rand.Rand
	// revision is about the newest, for revisions worth asking for.
	revision int64
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g *generator) key() []byte { return fmt.Appendf(nil, "k%d", g.IntN(12)) }

func (g *generator) end() []byte {
	switch g.IntN(5) {
	case 0:
		return g.key()
	case 1:
		return []byte{0}
	case 2:
		return []byte("l")
	}
	return nil
}

func (g *generator) rev() int64 {
	switch g.IntN(6) {
	case 0:
		return g.revision - g.Int64N(20)
	case 1:
		return g.revision + g.Int64N(3)
	}
	return 0
}

func (g *generator) rangeRequest() *pb.RangeRequest {
	r := &pb.RangeRequest{Key: g.key(), RangeEnd: g.end(), Revision: g.rev()}
	if g.chance(30) {
		r.Limit = g.Int64N(5)
	}
	if g.chance(40) {
		r.SortOrder = pb.RangeRequest_SortOrder(g.IntN(3))
		r.SortTarget = pb.RangeRequest_SortTarget(g.IntN(5))
	}
	if g.chance(15) {
		r.MinModRevision = g.Int64N(g.revision + 1)
	}
	if g.chance(15) {
		r.MaxModRevision = g.Int64N(g.revision + 1)
	}
	if g.chance(15) {
		r.MinCreateRevision = g.Int64N(g.revision + 1)
	}
	if g.chance(15) {
		r.MaxCreateRevision = g.Int64N(g.revision + 1)
	}
	r.KeysOnly, r.CountOnly, r.Serializable = g.chance(15), g.chance(15), g.chance(30)
	return r
}

func (g *generator) putRequest() *pb.PutRequest {
	p := &pb.PutRequest{Key: g.key(), Value: fmt.Appendf(nil, "v%d", g.IntN(50)), PrevKv: g.chance(30)}
	if g.chance(10) {
		p.IgnoreValue, p.Value = true, nil
	}
	p.IgnoreLease = g.chance(10)
	if g.chance(25) {
		p.Lease = g.lease()
	}
	return p
}

// lease is one of few ids, so that grants, revocations and puts meet.
func (g *generator) lease() int64 { return [...]int64{1, 2, 3, 1 << 40, -1, 0}[g.IntN(6)] }

func (g *generator) leaseRequest() *pb.InternalRaftRequest {
	if g.chance(35) {
		return revokeOf(g.lease())
	}
	return grantOf(g.lease(), g.Int64N(20))
}

func (g *generator) deleteRequest() *pb.DeleteRangeRequest {
	return &pb.DeleteRangeRequest{Key: g.key(), RangeEnd: g.end(), PrevKv: g.chance(30)}
}

func (g *generator) compare() *pb.Compare {
	c := &pb.Compare{Key: g.key(), Result: pb.Compare_CompareResult(g.IntN(4))}
	if g.chance(30) {
		c.RangeEnd = g.end()
	}
	switch c.Target = pb.Compare_CompareTarget(g.IntN(5)); c.Target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: g.Int64N(4)}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: g.Int64N(g.revision + 1)}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: g.Int64N(g.revision + 1)}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: fmt.Appendf(nil, "v%d", g.IntN(50))}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: g.Int64N(2)}
	}
	if g.chance(10) {
		c.TargetUnion = nil
	}
	return c
}

func (g *generator) ops(depth int) []*pb.RequestOp {
	var ops []*pb.RequestOp
	for range g.IntN(4) {
		op := &pb.RequestOp{}
		switch n := g.IntN(20); {
		case n < 7:
			op.Request = &pb.RequestOp_RequestPut{RequestPut: g.putRequest()}
		case n < 12:
			op.Request = &pb.RequestOp_RequestRange{RequestRange: g.rangeRequest()}
		case n < 15:
			op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: g.deleteRequest()}
		case n < 19 && depth > 0:
			op.Request = &pb.RequestOp_RequestTxn{RequestTxn: g.txnRequest(depth - 1)}
		}
		ops = append(ops, op)
	}
	return ops
}

func (g *generator) txnRequest(depth int) *pb.TxnRequest {
	t := &pb.TxnRequest{Success: g.ops(depth), Failure: g.ops(depth)}
	for range g.IntN(3) {
		t.Compare = append(t.Compare, g.compare())
	}
	return t
}

func (g *generator) request() *pb.InternalRaftRequest {
	switch n := g.IntN(100); {
	case n < 45:
		return &pb.InternalRaftRequest{Put: g.putRequest()}
	case n < 55:
		return &pb.InternalRaftRequest{DeleteRange: g.deleteRequest()}
	case n < 70:
		return g.leaseRequest()
	case n < 94:
		return &pb.InternalRaftRequest{Txn: g.txnRequest(2)}
	case n < 95:
		return &pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: g.revision - g.Int64N(30)}}
	case n < 96:
		return &pb.InternalRaftRequest{ClusterMemberAttrSet: &membershippb.ClusterMemberAttrSetRequest{
			Member_ID:        uint64(g.IntN(3)),
			MemberAttributes: &membershippb.Attributes{Name: string(g.key()), ClientUrls: []string{"http://" + string(g.key())}},
		}}
	}
	if g.chance(20) {
		return &pb.InternalRaftRequest{LeaseCheckpoint: &pb.LeaseCheckpointRequest{}}
	}
	return &pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{
		Action: pb.AlarmRequest_AlarmAction(g.IntN(4)), MemberID: uint64(g.IntN(3)), Alarm: pb.AlarmType(g.IntN(4)),
	}}
}

// history makes a log: batches of random commands of all members, some of them duplicates, behind empty entries.
func (g *generator) history(n int) []*raftpb.Entry {
	g.revision = 1
	counters := make([]uint64, len(testMembers))
	epochs := make([]uint64, len(testMembers))
	var sent []Command
	entries := []*raftpb.Entry{entry(2, 1, nil)}
	term := uint64(1)
	for len(entries) < n {
		if g.chance(3) {
			term++
			entries = append(entries, entry(uint64(len(entries)+2), term, nil))
			continue
		}
		var batch []Command
		for range 1 + g.IntN(6) {
			if len(sent) > 0 && g.chance(5) {
				batch = append(batch, sent[g.IntN(len(sent))])
				continue
			}
			i := g.IntN(len(testMembers))
			if g.chance(1) {
				epochs[i], counters[i] = epochs[i]+1, 0
			}
			counters[i]++
			c := Command{
				ID:      RequestID{Member: testMembers[i].ID, Epoch: epochs[i], Counter: counters[i]},
				Request: mustMarshal(g.request()),
			}
			if g.chance(5) {
				c.Term = term - g.Uint64N(2)
			}
			batch, sent = append(batch, c), append(sent, c)
			g.revision++ // a little ahead of the truth: future revisions happen, too
			if g.chance(30) {
				g.revision--
			}
		}
		entries = append(entries, entry(uint64(len(entries)+2), term, EncodeBatch(batch)))
	}
	return entries
}

// The printers below show answers the way the scripts in testdata expect them.

func printResult(r Result) string {
	head := fmt.Sprintf("#%d revision=%d", r.ID.Counter, r.Response.Revision)
	if r.Err != nil {
		return fmt.Sprintf("#%d error: %v\n", r.ID.Counter, r.Err)
	}
	switch p := r.Response; {
	case p.Put != nil:
		return head + " " + printPut(p.Put)
	case p.DeleteRange != nil:
		return head + " " + printDelete(p.DeleteRange)
	case p.Txn != nil:
		return head + " " + printTxn(p.Txn, "")
	case p.Compaction != nil:
		return head + fmt.Sprintf(" compaction revision=%d\n", p.Compaction.Header.Revision)
	case p.LeaseGrant != nil:
		return head + fmt.Sprintf(" grant revision=%d id=%d ttl=%d\n", p.LeaseGrant.Header.Revision, p.LeaseGrant.ID,
			p.LeaseGrant.TTL)
	case p.LeaseRevoke != nil:
		return head + fmt.Sprintf(" revoke revision=%d\n", p.LeaseRevoke.Header.Revision)
	case p.Alarm != nil:
		head += fmt.Sprintf(" alarm revision=%d", p.Alarm.Header.Revision)
		for _, a := range p.Alarm.Alarms {
			head += fmt.Sprintf(" %s of %x", a.Alarm, a.MemberID)
		}
	}
	return head + "\n"
}

func printPut(p *pb.PutResponse) string {
	s := fmt.Sprintf("put revision=%d", p.Header.Revision)
	if p.PrevKv != nil {
		s += " prev " + printKV(p.PrevKv)
	}
	return s + "\n"
}

func printDelete(d *pb.DeleteRangeResponse) string {
	s := fmt.Sprintf("delete revision=%d deleted=%d", d.Header.Revision, d.Deleted)
	for _, kv := range d.PrevKvs {
		s += " prev " + printKV(kv)
	}
	return s + "\n"
}

func printRange(r *pb.RangeResponse) string {
	s := fmt.Sprintf("range revision=%d count=%d", r.Header.Revision, r.Count)
	if r.More {
		s += " more"
	}
	for _, kv := range r.Kvs {
		s += " " + printKV(kv)
	}
	return s + "\n"
}

func printTxn(t *pb.TxnResponse, indent string) string {
	s := fmt.Sprintf("txn revision=%d succeeded=%t\n", t.Header.Revision, t.Succeeded)
	indent += "  "
	for _, r := range t.Responses {
		s += indent
		switch a := r.Response.(type) {
		case *pb.ResponseOp_ResponsePut:
			s += printPut(a.ResponsePut)
		case *pb.ResponseOp_ResponseRange:
			s += printRange(a.ResponseRange)
		case *pb.ResponseOp_ResponseDeleteRange:
			s += printDelete(a.ResponseDeleteRange)
		case *pb.ResponseOp_ResponseTxn:
			s += printTxn(a.ResponseTxn, indent)
		default:
			s += "nothing\n"
		}
	}
	return s
}

func printKV(kv *mvccpb.KeyValue) string {
	s := fmt.Sprintf("[%s=%s create=%d mod=%d version=%d", kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version)
	if kv.Lease != 0 {
		s += fmt.Sprintf(" lease=%d", kv.Lease)
	}
	return s + "]"
}
