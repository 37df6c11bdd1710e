package apply

import "github.com/quorumkv/quorumkv/storage/mvcc"

// View is the state after one entry. It never changes and may be read from any goroutine.
type View struct {
	KV          *mvcc.View
	Index, Term uint64
	HistoryHash uint64
	// Members is in order of ids. It must not be changed.
	Members []Member
	// Alarms is in order of types and members. It must not be changed.
	Alarms []Alarm
	// Check is the newest comparison of the members' histories.
	Check *Check

	of *Machine
}

// Of tells whether the view shows the state of m, and not of one that was in its place before or after.
func (v *View) Of(m *Machine) bool { return v.of == m }

func (m *Machine) publish() {
	m.view = &View{
		KV:          m.kv.View(),
		Index:       m.index,
		Term:        m.term,
		HistoryHash: m.history.sum,
		Members:     m.members,
		Alarms:      m.alarms,
		Check:       m.check,
		of:          m,
	}
}
