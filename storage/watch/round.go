package watch

import "time"

// An event that very many watchers wait for costs a response for each of them, and so does the next one. When events come
// faster than responses can be made, each response had better carry several. So after a round of responses the streams
// that took part in it rest, for a time that grows with their number, and meanwhile their events gather. The first event
// after a quiet time always goes at once.
const (
	// restPerResponse bounds a node to 50,000 responses a second to those who wait for the same events, more or less what
	// one core of a server does.
	restPerResponse = 20 * time.Microsecond
	// shortestRest is what is worth a timer: streams do not rest for less.
	shortestRest = 10 * restPerResponse
	// longestRest bounds what resting adds to the latency of an event.
	longestRest = 10 * time.Millisecond
)

// round is the streams that get history in one call of the hub's.
type round struct {
	hub       *Hub
	streams   []*Stream
	responses int // about: an event may be filtered out
}

func (r *round) give(s *Stream) {
	if due := s.giveWork(); due > 0 {
		r.streams = append(r.streams, s)
		r.responses += due
	}
}

func (r *round) rest() {
	d := min(time.Duration(r.responses)*restPerResponse, longestRest)
	if d < shortestRest {
		return
	}
	for _, s := range r.streams {
		s.resting++
	}
	r.hub.after(d, func() {
		for _, s := range r.streams {
			s.resting--
			s.wake()
		}
		r.hub.giveWoken()
	})
}
