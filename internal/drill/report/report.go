// Package report is what a drill has to say in the end, as a page for people and as data for scripts.
package report

import (
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// Verdict is a drill's result in one word.
type Verdict string

const (
	Passed      Verdict = "passed"
	Violated    Verdict = "violated"    // a promise was broken
	Missed      Verdict = "missed"      // all promises held, and a figure is beyond its mark
	Interrupted Verdict = "interrupted" // nothing was broken so far
)

// Report is a drill's result. Durations are nanoseconds in JSON.
type Report struct {
	Scenario string        `json:"scenario"`
	Title    string        `json:"title"`    // of the scenario, a few words
	Explains string        `json:"explains"` // what was done and what passing proves, two or three sentences
	Verdict  Verdict       `json:"verdict"`
	Summary  string        `json:"summary"` // one sentence that says why
	Started  time.Time     `json:"started"`
	Duration time.Duration `json:"duration"`
	Command  string        `json:"command"` // that repeats the drill
	Seed     uint64        `json:"seed"`
	Version  string        `json:"version"` // of the tool
	Cluster  Cluster       `json:"cluster"`
	Rounds   []Round       `json:"rounds"`
	Marks    []Mark        `json:"marks"`
	Counts   Counts        `json:"counts"`
	Checks   []Check       `json:"checks"`
	// Violations are the promises broken, the most telling first; at most a few of each.
	Violations []history.Violation `json:"violations"`
	Timeline   Timeline            `json:"timeline"`
	Notes      []string            `json:"notes"` // what a reader should know: compaction during the drill, a watcher that lagged ...
}

// Cluster describes who was drilled.
type Cluster struct {
	Local   bool     `json:"local"`
	Members []Member `json:"members"`
}

// Member is one of them.
type Member struct {
	Name     string `json:"name"`
	ID       string `json:"id"` // hex
	Endpoint string `json:"endpoint"`
	Version  string `json:"version"`
}

// Round is one injection of the fault.
type Round struct {
	Number int           `json:"number"`
	Begin  time.Duration `json:"begin"`
	Healed time.Duration `json:"healed"`
	What   string        `json:"what"`
	Leader string        `json:"leader"`      // before
	Next   string        `json:"next_leader"` // after, by name
	// Gap is the longest time without an acknowledged write, on the side of the cluster that must go on, from the fault on.
	Gap time.Duration `json:"gap"`
}

// Mark is a figure with the bound that it must keep.
type Mark struct {
	Name  string `json:"name"`  // "write gap, p50"
	Value string `json:"value"` // "1.31 s"
	Bound string `json:"bound"` // "<= 2 s"
	Kept  bool   `json:"kept"`
	Why   string `json:"why"` // what the figure means for an operator, one sentence
}

// Check is one promise that was checked.
type Check struct {
	Promise    string `json:"promise"` // as in history.Violation
	Means      string `json:"means"`   // one sentence for people
	Looked     string `json:"looked"`  // how much it looked at: "12,304 operations"
	Violations int    `json:"violations"`
}

// Counts sum up the load.
type Counts struct {
	Operations  int         `json:"operations"`
	OK          int         `json:"ok"`
	Refused     int         `json:"refused"`
	Unknown     int         `json:"unknown"`      // outcomes that no client was told
	UnknownDone int         `json:"unknown_done"` // of these, writes that the history shows
	WatchEvents int         `json:"watch_events"`
	Renewals    int         `json:"renewals"`
	ByKind      []KindCount `json:"by_kind"`
}

// KindCount are the requests of one kind.
type KindCount struct {
	Kind    history.Kind  `json:"kind"`
	OK      int           `json:"ok"`
	Refused int           `json:"refused"`
	Unknown int           `json:"unknown"`
	P50     time.Duration `json:"p50"` // of those that were answered
	P99     time.Duration `json:"p99"`
	Max     time.Duration `json:"max"`
}

// Timeline is the drill in steps of equal length, for the picture.
type Timeline struct {
	Step    time.Duration   `json:"step"`
	Points  []Point         `json:"points"` // point i covers [i*Step, (i+1)*Step)
	Faults  []history.Fault `json:"faults"`
	Leaders []Reign         `json:"leaders"`
	// Sides are the members, each with its errors and acknowledged operations per step.
	Sides []Side `json:"sides"`
}

// Point is one step of all clients together.
type Point struct {
	Writes int `json:"writes"` // acknowledged
	Reads  int `json:"reads"`  // answered
	Errors int `json:"errors"`
	// Latencies of the answers in this step, 0 when there were none.
	P50 time.Duration `json:"p50"`
	P99 time.Duration `json:"p99"`
}

// Side is what clients of one member saw.
type Side struct {
	Member string `json:"member"`
	OK     []int  `json:"ok"`     // per step
	Errors []int  `json:"errors"` // per step
	// Gaps are the times in which no write was acknowledged there, 500 ms and longer.
	Gaps []Span `json:"gaps"`
}

// Span is a piece of time.
type Span struct {
	Begin time.Duration `json:"begin"`
	End   time.Duration `json:"end"`
}

// Reign is a time in which a member led, as far as it and the others said.
type Reign struct {
	Leader string `json:"leader"` // "" when nobody did
	Term   uint64 `json:"term"`
	Span
}
