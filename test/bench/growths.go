package main

import (
	"fmt"
	"time"

	"github.com/quorumkv/quorumkv/test/bench/chart"
)

// growth is how cost grows with one quantity: a picture with some panels.
type growth struct {
	name   string
	title  string
	along  string // the quantity
	label  func(x float64) string
	points []point
	panels []panel
}

// point is one value of the quantity, and what is measured there.
type point struct {
	x     float64
	nodes int
	fresh bool // on systems of its own; others go on with those of the point before
	rows  []row
}

// key names the samples of one point and row.
func (p point) key(r row, system string) string { return fmt.Sprintf("%g %s %s", p.x, r.name, system) }

// panel is one figure of one of a point's rows.
type panel struct {
	title, row, figure, axis string
	scale                    float64 // what the figure is multiplied with; 0 is 1
}

func growthSize() size {
	z := fullSize
	z.duration, z.rounds = 2*time.Second, 3
	return z
}

func growthNames() []string { return []string{"keys", "nodes", "values", "clients"} }

// growths are the pictures. Quantities are divided by shrink, which is 1 but for tests.
func growths(shrink int) []growth {
	var keys, nodes, values, clients []point
	for i, n := range []int{10_000, 100_000, 1_000_000} {
		n /= shrink
		with := func(measure func(*turn) sample) func(*turn) sample {
			return func(t *turn) sample {
				t.size.keys = n
				return measure(t)
			}
		}
		keys = append(keys, point{x: float64(n), nodes: 3, fresh: i == 0, rows: []row{
			{name: "memory", measure: with(func(t *turn) sample { t.size.large = t.size.keys; return memoryRow(t) })},
			{name: "range", measure: with(rangeRow(300, false))},
			{name: "put", measure: with(putRow(300, 256))},
		}})
	}
	for _, n := range []int{1, 3, 5} {
		nodes = append(nodes, point{x: float64(n), nodes: n, fresh: true, rows: []row{
			{name: "put", measure: putRow(300, 256)},
			{name: "range", measure: rangeRow(300, false)},
		}})
	}
	for _, n := range []int{16, 256, 4 << 10, 64 << 10, 1 << 20} {
		values = append(values, point{x: float64(n), nodes: 3, fresh: true, rows: []row{
			{name: "put", measure: valuesRow(n, 50, putRow(50, n))},
			{name: "range", measure: valuesRow(n, 50, rangeRow(50, false))},
		}})
	}
	for i, n := range []int{1, 10, 100, 1000, 5000} {
		n = max(1, n/shrink)
		clients = append(clients, point{x: float64(n), nodes: 3, fresh: i == 0, rows: []row{
			{name: "put", measure: putRow(n, 256)},
			{name: "range", measure: rangeRow(n, false)},
		}})
	}
	puts := panel{title: "Puts", row: "put", figure: rate, axis: "per second"}
	ranges := panel{title: "Linearizable ranges of one key", row: "range", figure: rate, axis: "per second"}
	slow := func(title, row string) panel {
		return panel{title: title + ", 99th percentile", row: row, figure: p99, axis: "milliseconds", scale: 1e3}
	}
	memory := panel{title: "Memory of a node, without mapped file", row: "memory", figure: heapMemory, axis: "MiB",
		scale: 1.0 / (1 << 20)}
	return []growth{
		{name: "keys", title: "Cost by keys in the store (256-byte values, three nodes, 300 clients)", along: "keys",
			label: chart.Number, points: keys, panels: []panel{puts, ranges, memory}},
		{name: "nodes", title: "Cost by nodes (256-byte values, 10,000 keys, 300 clients)", along: "nodes",
			label: chart.Number, points: nodes, panels: []panel{puts, ranges, slow("Puts", "put")}},
		{name: "values", title: "Cost by size of values (three nodes, 50 clients)", along: "size of a value",
			label: chart.Bytes, points: values, panels: []panel{puts, ranges, slow("Puts", "put")}},
		{name: "clients", title: "Cost by clients (256-byte values, three nodes, 10,000 keys)", along: "clients",
			label: chart.Number, points: clients, panels: []panel{puts, ranges, slow("Puts", "put"), slow("Ranges", "range")}},
	}
}

// maxStoredBytes is how much large values fill a store with: fewer keys of them.
const maxStoredBytes = 64 << 20

// valuesRow measures with values of another size, and as many keys as there is room for.
func valuesRow(valueBytes, least int, measure func(*turn) sample) func(*turn) sample {
	return func(t *turn) sample {
		t.size.value = valueBytes
		t.size.keys = min(t.size.keys, max(least, maxStoredBytes/valueBytes))
		t.s.resize(valueBytes)
		return measure(t)
	}
}
