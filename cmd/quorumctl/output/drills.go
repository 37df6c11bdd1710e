package output

import (
	"fmt"
	"text/tabwriter"
)

// Drills prints what can be rehearsed.
type Drills interface {
	Drills([]Drill) error
}

// Drill is a scenario as a list shows it, and all of it in JSON.
type Drill struct {
	Name           string   `json:"name"`
	Title          string   `json:"title"`
	Short          string   `json:"short"` // what it does, in one line
	Does           string   `json:"does"`
	Proves         string   `json:"proves"`
	NotProved      string   `json:"not_proved"`
	Marks          []string `json:"marks"`
	NeedsProcesses bool     `json:"needs_processes"` // only with --local
}

// NewDrills returns a printer for scenarios: simple, which has columns for people, json and table.
func NewDrills(c Config) (Drills, error) {
	if err := c.check("json", "simple", "table"); err != nil {
		return nil, err
	}
	switch c.Format {
	case "json":
		return jsonFormat{c}, nil
	case "table":
		return table{c}, nil
	default:
		return simple{c}, nil
	}
}

func (j jsonFormat) Drills(list []Drill) error { return j.line(list) }

func (t table) Drills(list []Drill) error { return t.draw(drillRows(list)) }

func (s simple) Drills(list []Drill) error {
	header, rows := drillRows(list)
	w := tabwriter.NewWriter(s.c.Out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		fmt.Fprintf(w, "%s\t%s\t%s\n", row[0], row[1], row[2])
	}
	return w.Flush()
}

func drillRows(list []Drill) (header []string, rows [][]string) {
	for _, d := range list {
		needs := "any cluster"
		if d.NeedsProcesses {
			needs = "--local"
		}
		rows = append(rows, []string{d.Name, needs, d.Short})
	}
	return []string{"NAME", "NEEDS", "WHAT"}, rows
}
