package apply

import (
	"cmp"
	"fmt"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// compactKeys bounds one slice of physical compaction, and with it how long an entry waits behind it: some tenths of a
// millisecond, since most keys are in no cache of the processor.
const compactKeys = 100

// Machine is the replicated state and the code that changes it. It belongs to one goroutine, but for the [Flush] under way.
type Machine struct {
	state
	db      *backend.DB
	kv      *mvcc.Store
	history history
	view    *View
	// durable is the applied index of the last flush, sealed that of the one under way; durable if there is none.
	durable, sealed uint64
	// err is the first failure. From then on memory and peers may disagree, so nothing is applied or flushed any more.
	err error

	// checking says that the entry under way has a check in it, stirred that it has something else than checks and reports.
	checking, stirred bool
	// leaseChanges are those of the Apply under way.
	leaseChanges []LeaseChange

	// batch is what the flush under way writes; empty if there is none.
	batch backend.Batch
	// Kept between entries to save allocations.
	commands   []Command
	request    pb.InternalRaftRequest
	putRequest pb.PutRequest
}

// Outcome is what became of the entries of one Apply.
type Outcome struct {
	// View is the state after the last of them.
	View *View
	// Results answers the commands of the node that asked, in order.
	Results []Result
	// Leases are the leases that were granted or revoked, in order, whoever asked for it.
	Leases []LeaseChange
}

// Result is the answer to one command.
type Result struct {
	ID       RequestID
	Response Response
	Err      error
}

// Response has one of the pointers set, or none for commands without an answer of their own. The headers carry nothing
// but a revision.
type Response struct {
	Put         *pb.PutResponse
	DeleteRange *pb.DeleteRangeResponse
	Txn         *pb.TxnResponse
	Compaction  *pb.CompactionResponse
	LeaseGrant  *pb.LeaseGrantResponse
	LeaseRevoke *pb.LeaseRevokeResponse
	Alarm       *pb.AlarmResponse
	// Revision is the store's once the command was done.
	Revision int64
}

// Open loads the state as of the last flush.
func Open(db *backend.DB, clusterID uint64, recent mvcc.Recent) (*Machine, error) {
	m := &Machine{db: db}
	if err := db.Read(m.load); err != nil {
		return nil, fmt.Errorf("load state: %w", err)
	}
	if m.clusterID != clusterID {
		return nil, fmt.Errorf("open state of cluster %x as %x: %w", m.clusterID, clusterID, ErrClusterMismatch)
	}
	var err error
	if m.kv, err = mvcc.Open(db, recent); err != nil {
		return nil, fmt.Errorf("open key-value store: %w", err)
	}
	if err := m.attachAll(); err != nil {
		return nil, err
	}
	m.history.sum, m.durable, m.sealed = m.hash, m.index, m.index
	m.publish()
	return m, nil
}

// attachAll finds out which keys each lease holds.
func (m *Machine) attachAll() (err error) {
	m.kv.Leased(func(key string, id int64) {
		if !m.leases.Attach(id, key) {
			err = fmt.Errorf("key %q with lease %x, which does not exist: %w", key, id, backend.ErrDamaged)
		}
	})
	return err
}

// Applied returns the last entry applied.
func (m *Machine) Applied() (index, term uint64) { return m.index, m.term }

// ConfState returns raft's configuration as of the last entry applied. It must not be changed.
func (m *Machine) ConfState() *raftpb.ConfState { return m.confState }

// HistoryHash returns the hash of all that was applied. Replicas at the same index have the same.
func (m *Machine) HistoryHash() uint64 { return m.history.sum }

// Revision returns the store's current revision.
func (m *Machine) Revision() int64 { return m.kv.Revision() }

// View returns the state after the last Apply.
func (m *Machine) View() *View { return m.view }

// Apply applies committed entries, which must follow those applied before without a gap. Only commands of self's member
// and epoch get results. After an error the machine is of no further use.
func (m *Machine) Apply(entries []*raftpb.Entry, self RequestID) (Outcome, error) {
	if m.err != nil {
		return Outcome{}, m.err
	}
	var results []Result
	for _, e := range entries {
		var err error
		if results, err = m.applyEntry(e, self, results); err != nil {
			m.err = fmt.Errorf("apply entry %d of term %d: %w", e.GetIndex(), e.GetTerm(), err)
			return Outcome{}, m.err
		}
	}
	m.publish()
	out := Outcome{View: m.view, Results: results, Leases: m.leaseChanges}
	m.leaseChanges = nil
	return out, nil
}

func (m *Machine) applyEntry(e *raftpb.Entry, self RequestID, results []Result) ([]Result, error) {
	if e.GetIndex() != m.index+1 || e.GetTerm() < m.term {
		return nil, fmt.Errorf("after entry %d of term %d: %w", m.index, m.term, ErrOutOfOrder)
	}
	if e.GetType() != raftpb.EntryNormal {
		return nil, ErrConfChange
	}
	m.history.begin(e.GetIndex(), e.GetTerm())
	if data := e.GetData(); len(data) > 0 {
		var err error
		if m.commands, err = appendBatch(m.commands[:0], data); err != nil {
			return nil, err
		}
		for i := range m.commands {
			if results, err = m.applyCommand(&m.commands[i], e.GetTerm(), self, results); err != nil {
				return nil, err
			}
		}
		clear(m.commands) // lets go of data
	}
	m.history.end()
	m.index, m.term = e.GetIndex(), e.GetTerm()
	m.compared()
	return results, nil
}

func (m *Machine) applyCommand(c *Command, term uint64, self RequestID, results []Result) ([]Result, error) {
	want := c.ID.Member == self.Member && c.ID.Epoch == self.Epoch
	m.history.command(c.ID)
	resp, err := m.execute(c, term, want)
	code, ok := outcomeOf(err)
	if !ok {
		return nil, err
	}
	m.history.outcome(code, m.kv.Revision())
	if want {
		results = append(results, Result{ID: c.ID, Response: resp, Err: err})
	}
	return results, nil
}

// execute carries out a command in an entry of the given term.
func (m *Machine) execute(c *Command, term uint64, want bool) (Response, error) {
	if c.IsCheck() {
		return m.compare(c)
	}
	m.stirred = true
	w := m.window(c.ID.Member)
	if w == nil {
		return Response{}, ErrNotMember
	}
	if !w.admit(c.ID.Epoch, c.ID.Counter) {
		return Response{}, ErrDuplicate
	}
	if c.Term != 0 && c.Term != term {
		return Response{}, ErrStaleTerm
	}
	if decodePut(c.Request, &m.putRequest) {
		resp, err := m.put(&m.putRequest, want)
		m.putRequest.Reset()
		return resp, err
	}
	m.putRequest.Reset()
	if txn := decodeTxn(c.Request); txn != nil {
		return m.txn(txn, want)
	}
	r := &m.request
	if proto.Unmarshal(c.Request, r) != nil {
		return Response{}, ErrMalformedRequest
	}
	switch {
	case r.Put != nil:
		return m.put(r.Put, want)
	case r.Txn != nil:
		return m.txn(r.Txn, want)
	case r.DeleteRange != nil:
		return m.deleteRange(r.DeleteRange, want)
	case r.Compaction != nil:
		return m.compaction(r.Compaction, want)
	case r.LeaseGrant != nil:
		return m.leaseGrant(r.LeaseGrant, want)
	case r.LeaseRevoke != nil:
		return m.leaseRevoke(r.LeaseRevoke, want)
	case r.Alarm != nil:
		return m.alarm(r.Alarm, want)
	case r.ClusterMemberAttrSet != nil:
		return m.setAttributes(r.ClusterMemberAttrSet)
	}
	return Response{}, ErrUnknownCommand
}

// finish ends a command's write transaction and takes its changes into the history and to the leases.
func (m *Machine) finish(w *mvcc.WriteTxn) {
	if w.Changed() {
		m.history.changes(w.Changes())
		m.attach(w.Changes())
	}
	w.End()
}

// window returns the dedupe window of a member, nil when it is none.
func (m *Machine) window(member uint64) *window {
	for _, w := range m.windows {
		if w.member == member {
			return w
		}
	}
	if _, ok := findMember(m.members, member); !ok {
		return nil
	}
	return m.insertWindow(&window{member: member})
}

func (s *state) insertWindow(w *window) *window {
	at, _ := slices.BinarySearchFunc(s.windows, w.member, func(w *window, id uint64) int {
		return cmp.Compare(w.member, id)
	})
	s.windows = slices.Insert(s.windows, at, w)
	return w
}

// Condemn makes why the machine's last word: its file was found damaged by somebody else, so that nothing may be applied to
// it or flushed any more.
func (m *Machine) Condemn(why error) {
	if m.err == nil {
		m.err = why
	}
}

// CompactStep does a slice of physical compaction, to be made durable by the next flush, and reports whether that was
// the last.
func (m *Machine) CompactStep() (done bool) {
	if m.err != nil {
		return true
	}
	return m.kv.CompactStep(compactKeys)
}

// CompactionLeft is how many slices of physical compaction are left, the last of which may be a small one.
func (m *Machine) CompactionLeft() int { return (m.kv.Compactable() + compactKeys - 1) / compactKeys }
