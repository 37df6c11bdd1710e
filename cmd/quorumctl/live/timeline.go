package live

import (
	"time"

	"github.com/quorumkv/quorumkv/internal/drill"
)

const (
	step     = time.Second // that one cell of a timeline stands for
	maxCells = 60          // that are remembered
)

// cell is what clients of one member got in one step. It shows the step's worst moment: a gap of half a second is what a
// person looks for, and an average would hide it.
type cell struct {
	seen   bool
	ok     int // acknowledged per second, the least seen
	errors int // per second, the most seen
}

// mark is what became of faults in one step.
type mark struct{ begins, lasts, heals bool }

// timeline remembers the last steps of a drill. Its clock is the drill's.
type timeline struct {
	first   int // number of the oldest step that is remembered
	marks   []mark
	members [][]cell // by member, each as long as marks
	fault   string   // of the last observation
}

func (t *timeline) observe(p drill.Progress) {
	if len(p.Members) == 0 {
		return // the load has not begun, nor has its clock
	}
	for len(t.members) < len(p.Members) {
		t.members = append(t.members, make([]cell, len(t.marks)))
	}
	for now := int(p.Elapsed / step); t.first+len(t.marks) <= now; {
		t.grow()
	}
	last := len(t.marks) - 1
	m := &t.marks[last]
	m.lasts = m.lasts || p.Fault != ""
	if p.Fault != t.fault { // one fault may follow another at once
		m.heals = m.heals || t.fault != ""
		m.begins = m.begins || p.Fault != ""
		t.fault = p.Fault
	}
	for i, member := range p.Members {
		c := &t.members[i][last]
		if !c.seen {
			*c = cell{seen: true, ok: member.OKPerSecond, errors: member.ErrorsPerSecond}
			continue
		}
		c.ok = min(c.ok, member.OKPerSecond)
		c.errors = max(c.errors, member.ErrorsPerSecond)
	}
}

// grow begins a step, and forgets the oldest when there are too many.
func (t *timeline) grow() {
	drop := 0
	if len(t.marks) == maxCells {
		drop = 1
	}
	t.first += drop
	t.marks = append(t.marks[drop:], mark{})
	for i := range t.members {
		t.members[i] = append(t.members[i][drop:], cell{})
	}
}

// last returns the marks and cells of the last n steps, or all when there are fewer.
func (t *timeline) last(n int) ([]mark, [][]cell) {
	from := max(0, len(t.marks)-n)
	members := make([][]cell, len(t.members))
	for i := range t.members {
		members[i] = t.members[i][from:]
	}
	return t.marks[from:], members
}
