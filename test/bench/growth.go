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
