package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testOutput passes what a bench says on to the test's log.
type testOutput struct{ t *testing.T }

func (o testOutput) Write(b []byte) (int, error) {
	o.t.Logf("%s", b)
	return len(b), nil
}

// tinySize finds out whether all of it works.
func tinySize() size {
	return size{
		duration: 200 * time.Millisecond, rounds: 1, value: 256, keys: 200, most: 20, large: 2000, missed: 1000,
		watchers: 20, watchedPuts: 100, compactedPuts: 200, leases: 50, idle: 50,
		settle: 100 * time.Millisecond, once: true,
		errors: 0.5, // leaders may change on a busy machine, and there are few calls
	}
}

// TestRows runs every row at a tiny size, so that none rots. It asserts no times: that a figure is there and is a number is
// all that a busy machine allows to say.
func TestRows(t *testing.T) {
	code := newHost(testOutput{t}).run(func(h *host) {
		b := newBench(t.Context(), h, tinySize())
		b.shared = true
		b.profiles = t.TempDir() // of the first row
		for _, r := range rows {
			begin := time.Now()
			found, ok := b.run([]row{r}, "")
			if !ok {
				h.Fatalf("row %s failed", r.name)
			}
			for _, name := range systemsOf(r) {
				rounds := found[r.name][name]
				if len(rounds) != b.size.rounds {
					t.Errorf("%s on %s: %d measurements, want %d", r.name, name, len(rounds), b.size.rounds)
				}
				for _, s := range rounds {
					checkSample(t, fmt.Sprintf("%s on %s", r.name, name), r, s)
				}
			}
			if b.profiles != "" {
				checkProfiles(t, b.profiles, r.name)
				b.profiles = ""
			}
			t.Logf("%s took %v", r.name, time.Since(begin))
		}
	})
	if code != 0 {
		t.Fail()
	}
}

func checkSample(t *testing.T, where string, r row, s sample) {
	t.Helper()
	for _, l := range r.lines {
		// Memory may shrink while idle watchers come: they are few here. So may what the clock of processors sees.
		if v, ok := s[l.figure]; !ok || v <= 0 && l.figure != bytesEach && l.figure != serverCPU {
			t.Errorf("%s: %s is %v, there: %v", where, l.figure, v, ok)
		}
	}
	for name, v := range s {
		if unitOf[name] == nil {
			t.Errorf("%s: figure %q has no unit", where, name)
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("%s: %s is %v", where, name, v)
		}
	}
}

// checkProfiles finds a profile of each kind, and the clients' waiting among the waits.
func checkProfiles(t *testing.T, dir, row string) {
	t.Helper()
	for _, role := range []string{"leader", "follower"} {
		for _, kind := range []string{"cpu", "allocs", "heap", "block", "mutex", "goroutine"} {
			path := filepath.Join(dir, fmt.Sprintf("%s-1-%s-%s.pb.gz", row, role, kind))
			text, err := readProfile(path)
			if err != nil {
				t.Errorf("profile: %v", err)
			} else if kind == "block" && !strings.Contains(text, "google.golang.org/grpc") {
				t.Errorf("no call of gRPC's waits in %s", path)
			}
		}
	}
}

// readProfile unpacks a profile; names of functions stand in it as they are.
func readProfile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return string(text), nil
}
