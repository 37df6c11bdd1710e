package drill

import (
	"context"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// Scenario is one kind of drill.
type Scenario struct {
	Name  string
	Title string // a few words
	Short string // one line
	// Does, Proves and NotProved are sentences for people.
	Does, Proves, NotProved string
	Marks                   []string // pass marks in words, besides that no promise is broken
	// NeedsProcesses says that members must be killed or stopped: only a cluster of our own can be.
	NeedsProcesses bool
	Rounds         int           // by default; 0: one for each member
	Hold           time.Duration // how long the fault lasts in a round, by default and at most

	// strike does what the scenario does, once, and heals it again.
	strike func(context.Context, *round) error
	// marks holds what was measured against the pass marks.
	marks func(*measured) []report.Mark
}

// Options are what the user chooses. A zero field means the scenario's default.
type Options struct {
	Rounds  int
	Clients int
	// Duration is that of the load in all, about: faults are shortened to fit, and the load goes on when rounds are over
	// sooner.
	Duration time.Duration
	Seed     uint64 // of the load; 0: drawn
	// Command repeats the drill, Version is that of the tool: for the report.
	Command, Version string
}

// Scenarios are all there are, in the order in which they are listed.
func Scenarios() []Scenario {
	return []Scenario{
		failover, handover, splitBrain, rollingRestart, diskStall, diskFull, pause, minorityDown, majorityDown, slowNetwork,
		flappingLink,
	}
}

// Find returns the scenario of that name.
func Find(name string) (Scenario, bool) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}
