package main

import (
	"math"
	"sync"
	"time"
)

// samples gathers how long requests took, and the errors of those that failed.
type samples struct {
	start time.Time
	total time.Duration // set by finish

	mu     sync.Mutex
	took   []time.Duration // under mu until finish
	errors map[string]int  // under mu until finish
}

func newSamples() *samples { return &samples{start: time.Now(), errors: map[string]int{}} }

func (s *samples) add(took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.errors[err.Error()]++
		return
	}
	s.took = append(s.took, took)
}

// finish is called when nothing is added any more, and makes the rest meaningful.
func (s *samples) finish() { s.total = time.Since(s.start) }

// rate is successful requests per second.
func (s *samples) rate() float64 { return float64(len(s.took)) / s.total.Seconds() }

// slowest is in seconds, as are all that follow.
func (s *samples) slowest() float64 {
	var slowest time.Duration
	for _, t := range s.took {
		slowest = max(slowest, t)
	}
	return slowest.Seconds()
}

// deviation is the standard deviation.
func (s *samples) deviation() float64 {
	if len(s.took) == 0 {
		return 0
	}
	var sum, squares float64
	for _, t := range s.took {
		sum += t.Seconds()
	}
	mean := sum / float64(len(s.took))
	for _, t := range s.took {
		squares += (t.Seconds() - mean) * (t.Seconds() - mean)
	}
	return math.Sqrt(squares / float64(len(s.took)))
}
