package sim

import "time"

// idleness remembers when no process of the cluster got any time: all were paused, or down. No lease may live out its time
// meanwhile, for nobody could have renewed it.
type idleness struct {
	since   time.Duration // of the stretch under way, below 0 when somebody runs
	periods []period
}

type period struct{ from, to time.Duration }

// ran looks at who runs, whenever that changes.
func (w *world) ran() {
	idle := true
	for _, n := range w.nodes {
		idle = idle && (n.raft == nil || n.paused)
	}
	switch s := &w.idle; {
	case idle && s.since < 0:
		s.since = w.queue.now
	case !idle && s.since >= 0:
		s.periods = append(s.periods, period{s.since, w.queue.now})
		s.since = -1
	}
}

// between is how long nobody ran within a stretch of time, and in how many pieces.
func (s *idleness) between(from, to time.Duration) (total time.Duration, pieces int) {
	for _, p := range s.periods {
		if d := min(p.to, to) - max(p.from, from); d > 0 {
			total += d
			pieces++
		}
	}
	return total, pieces
}
