package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

func tinyGrowthSize() size {
	z := tinySize()
	z.duration = 50 * time.Millisecond
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

// grown are the measurements of a growth: by row and system, those of each point.
type grown struct {
	growth growth
	found  map[string]map[string][]spread // by panel's title and system
}

// measureGrowth measures, draws and reports.
func measureGrowth(ctx context.Context, h *host, o options) {
	b := newBench(ctx, h, o.size)
	b.profiles = o.profiles
	like := b.likeness()
	keep := store{o.results}
	begin := time.Now()
	var done []grown
	for _, g := range growths(1) {
		if !slices.Contains(o.rows, g.name) {
			continue
		}
		like.Row = "growth-" + g.name
		found, ok, err := saved{}, false, error(nil)
		if o.resume {
			found, ok, err = keep.load(like)
		}
		if err != nil {
			h.Fatalf("%v", err)
		}
		if !ok {
			found = like
			found.Results = b.grow(g, begin)
			found.Finished = time.Now().UTC().Truncate(time.Second)
			if o.results != "" {
				if err := keep.save(found); err != nil {
					h.Fatalf("%v", err)
				}
			}
		}
		done = append(done, g.summarize(found.Results))
	}
	text := &strings.Builder{}
	fmt.Fprintf(text, "%s. %s.\n\n", time.Now().UTC().Format(time.DateOnly), like.Machine)
	fmt.Fprintf(text, "Medians of %d rounds of %v; the bars reach from the least to the greatest.\n", o.size.rounds,
		o.size.duration)
	for _, g := range done {
		if o.document != "" {
			dir := filepath.Join(filepath.Dir(o.document), "benchmarks")
			if err := g.draw(dir); err != nil {
				h.Fatalf("%v", err)
			}
			fmt.Fprintf(text, "\n![%s](benchmarks/%s.svg)\n", g.growth.title, g.growth.name)
		}
		g.write(text)
	}
	fmt.Print(text.String())
	if o.document == "" {
		return
	}
	if err := replaceSection(o.document, "growth", text.String()); err != nil {
		h.Fatalf("%v", err)
	}
}

// key names the samples of one point and row.
func (p point) key(r row, system string) string { return fmt.Sprintf("%g %s %s", p.x, r.name, system) }

// grow measures all points. The systems of a point take turns, as those of a row do.
func (b *bench) grow(g growth, begin time.Time) results {
	found := results{}
	names := []string{quorumKV, etcd}
	var from int
	for from < len(g.points) {
		to := from + 1
		for to < len(g.points) && !g.points[to].fresh {
			to++
		}
		code := newHost(b.h.out).run(func(h *host) {
			with := b.together(h, names, g.points[from].nodes)
			for _, p := range g.points[from:to] {
				for _, r := range p.rows {
					alternate(names, b.size.rounds, func(name string, round int) {
						with(name, func(h *host, s *system) {
							one := b.measure(h, r, s, round)
							found[p.key(r, name)] = append(found[p.key(r, name)], one)
							b.h.Logf("[%s] %s %s  %-6s round %d/%d  %-8s  %s", elapsed(begin), g.name, g.label(p.x), r.name,
								round+1, b.size.rounds, name, figureText(one))
						})
					})
				}
			}
		})
		if code != 0 {
			b.h.Fatalf("growth by %s failed", g.name)
		}
		from = to
	}
	return found
}

// figureText is what the progress says: throughput, or else memory.
func figureText(s sample) string {
	if v, ok := s[rate]; ok {
		return unitOf[rate](v) + " " + rate
	}
	return unitOf[heapMemory](s[heapMemory]) + " of memory"
}

// summarize takes from all samples what the panels show.
func (g growth) summarize(found results) grown {
	out := grown{growth: g, found: map[string]map[string][]spread{}}
	for _, p := range g.panels {
		out.found[p.title] = map[string][]spread{}
		for _, name := range []string{quorumKV, etcd} {
			for _, at := range g.points {
				s := spreadOf(figures(found[at.key(row{name: p.row}, name)], p.figure))
				scale := p.scale
				if scale == 0 {
					scale = 1
				}
				s = spread{s.median * scale, s.least * scale, s.most * scale}
				out.found[p.title][name] = append(out.found[p.title][name], s)
			}
		}
	}
	return out
}

// draw writes the picture.
func (g grown) draw(dir string) error {
	picture := chart.Picture{Title: g.growth.title}
	for _, p := range g.growth.panels {
		c := chart.Panel{Title: p.title, X: g.growth.along, Y: p.axis, LabelX: g.growth.label, LabelY: chart.Number}
		for _, name := range []string{quorumKV, etcd} {
			series := chart.Series{Name: map[string]string{quorumKV: "QuorumKV", etcd: "etcd"}[name]}
			for i, s := range g.found[p.title][name] {
				if s.median > 0 && !math.IsInf(s.median, 0) {
					series.Points = append(series.Points, chart.Point{X: g.growth.points[i].x, Y: s.median, Least: s.least, Most: s.most})
				}
			}
			c.Series = append(c.Series, series)
		}
		picture.Panels = append(picture.Panels, c)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("draw %s: %w", g.growth.name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, g.growth.name+".svg"), picture.SVG(), 0o666); err != nil {
		return fmt.Errorf("draw %s: %w", g.growth.name, err)
	}
	return nil
}

// write prints the figures of the picture.
func (g grown) write(w *strings.Builder) {
	fmt.Fprintf(w, "\n| %s | system |", g.growth.along)
	for _, p := range g.growth.panels {
		fmt.Fprintf(w, " %s: %s |", strings.ToLower(p.title[:1])+p.title[1:], p.axis)
	}
	fmt.Fprint(w, "\n|---:|---|"+strings.Repeat("---:|", len(g.growth.panels))+"\n")
	for i, at := range g.growth.points {
		for _, name := range []string{quorumKV, etcd} {
			fmt.Fprintf(w, "| %s | %s |", g.growth.label(at.x), name)
			for _, p := range g.growth.panels {
				fmt.Fprintf(w, " %s |", plain(g.found[p.title][name][i].median))
			}
			fmt.Fprintln(w)
		}
	}
}
