package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// madeUp has a measurement for every point of a growth.
func madeUp(g growth) results {
	found := results{}
	for i, p := range g.points {
		for _, r := range p.rows {
			for n, name := range []string{quorumKV, etcd} {
				v := float64((i + 1) * (n + 1))
				one, other := sample{rate: v, p99: v / 1e3, heapMemory: v * (1 << 20)}, sample{rate: 3 * v, p99: v, heapMemory: v}
				found[p.key(r, name)] = []sample{one, other}
			}
		}
	}
	return found
}

// TestGrowthPictures draws every panel of every picture with a mark for each point.
func TestGrowthPictures(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pictures")
	for _, g := range growths(1) {
		done := g.summarize(madeUp(g))
		if err := done.draw(dir); err != nil {
			t.Fatal(err)
		}
		svg, err := os.ReadFile(filepath.Join(dir, g.name+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		decoder := xml.NewDecoder(bytes.NewReader(svg))
		for err == nil {
			_, err = decoder.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s.svg is not XML: %v", g.name, err)
		}
		// And one of each in the legend; a square more is the ground.
		want := len(g.panels)*len(g.points) + 1
		circles, squares := bytes.Count(svg, []byte("<circle")), bytes.Count(svg, []byte("<rect"))-1
		if circles != want || squares != want {
			t.Errorf("%s.svg has %d circles and %d squares, want %d of each", g.name, circles, squares, want)
		}
		var text strings.Builder
		done.write(&text)
		if lines := strings.Count(text.String(), "\n"); lines != 3+2*len(g.points) {
			t.Errorf("the table of %s has %d lines for %d points:\n%s", g.name, lines, len(g.points), text.String())
		}
	}
}

// TestGrowth measures one picture at a tiny size: the one whose systems go on from point to point.
func TestGrowth(t *testing.T) {
	code := newHost(testOutput{t}).run(func(h *host) {
		z := tinySize()
		z.duration = 50 * time.Millisecond
		b := newBench(t.Context(), h, z)
		g := growths(1000)[0]
		found := b.grow(g, time.Now())
		for _, p := range g.points {
			for _, r := range p.rows {
				for _, name := range []string{quorumKV, etcd} {
					if rounds := found[p.key(r, name)]; len(rounds) != b.size.rounds || len(rounds[0]) == 0 {
						t.Errorf("%s: %d measurements, want %d", p.key(r, name), len(rounds), b.size.rounds)
					}
				}
			}
		}
	})
	if code != 0 {
		t.Fail()
	}
}

// TestFillsWithLargeValues: however large values are, a server takes what fills a store with them.
func TestFillsWithLargeValues(t *testing.T) {
	code := newHost(testOutput{t}).run(func(h *host) {
		b := newBench(t.Context(), h, tinySize())
		for _, name := range []string{quorumKV, etcd} {
			s := b.open(h, name, 1)
			for i, valueBytes := range []int{64 << 10, 1 << 20} {
				s.resize(valueBytes)
				s.fill(t.Context(), h, s.keys+30*(i+1))
			}
		}
	})
	if code != 0 {
		t.Fail()
	}
}
