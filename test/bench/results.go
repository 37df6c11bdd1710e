package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// results are measurements of one row, by system, in the order of the rounds.
type results map[string][]sample

// saved is a row's file: what was measured, when and of what.
type saved struct {
	Row      string    `json:"row"`
	Finished time.Time `json:"finished"`
	Machine  machine   `json:"machine"`
	Build    string    `json:"build"` // of QuorumKV: its version does not tell two changed checkouts apart
	Rounds   int       `json:"rounds"`
	Seconds  float64   `json:"seconds"` // of one measurement
	Large    int       `json:"large"`   // keys of a large store
	Results  results   `json:"results"`
}

// store keeps results in files, so that a run that was interrupted can go on.
type store struct{ dir string }

func (s store) path(row string) string { return filepath.Join(s.dir, row+".json") }

func (s store) save(v saved) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err == nil {
		err = os.MkdirAll(s.dir, 0o777)
	}
	if err == nil {
		err = os.WriteFile(s.path(v.Row), append(text, '\n'), 0o666)
	}
	if err != nil {
		return fmt.Errorf("save results of %s: %w", v.Row, err)
	}
	return nil
}

// load returns the results of a row, if there are some of the same programs, machine and settings as like.
func (s store) load(like saved) (found saved, ok bool, err error) {
	text, err := os.ReadFile(s.path(like.Row))
	if errors.Is(err, fs.ErrNotExist) {
		return found, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	if err != nil {
		return found, false, fmt.Errorf("load results of %s: %w (remove the file, or run without -resume)", like.Row, err)
	}
	same := found.Machine == like.Machine && found.Build == like.Build && found.Rounds == like.Rounds && found.Seconds == like.Seconds &&
		found.Large == like.Large
	return found, same, nil
}

// build is the beginning of the checksum of a program.
func build(h *host, path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		h.Fatalf("checksum of a program: %v", err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))[:12]
}

// keeper gives a report what earlier runs have measured, and keeps what this one does.
type keeper struct {
	store  store
	resume bool
	like   saved // what all rows of this run have in common
}

// take adds to the report what is there, and returns the rows that are not.
func (k keeper) take(h *host, group []row, to *report) (rest []row) {
	for _, r := range group {
		like := k.like
		like.Row = r.name
		found, ok := saved{}, false
		if k.resume {
			var err error
			if found, ok, err = k.store.load(like); err != nil {
				h.Fatalf("%v", err)
			}
		}
		if !ok {
			rest = append(rest, r)
			continue
		}
		h.Logf("%s: measured %s", r.name, found.Finished.Format(time.DateTime))
		to.rows = append(to.rows, found)
	}
	return rest
}

// put adds the measurements of a row to the report, and saves them if there is a place.
func (k keeper) put(h *host, r row, found results, to *report) {
	v := k.like
	v.Row, v.Finished, v.Results = r.name, time.Now().UTC().Truncate(time.Second), found
	to.rows = append(to.rows, v)
	if k.store.dir == "" {
		return
	}
	if err := k.store.save(v); err != nil {
		h.Fatalf("%v", err)
	}
}

// likeness is what all measurements of a run have in common.
func (b *bench) likeness() saved {
	return saved{Machine: b.describe(), Build: build(b.h, b.program(quorumKV).Path), Rounds: b.size.rounds,
		Seconds: b.size.duration.Seconds(), Large: b.size.large}
}
