package transport

// absence follows a sender's attempts, to tell a process that has ended from one that cannot be reached.
type absence struct {
	stood   bool // a stream did, since the peer was last taken for gone
	refused int  // attempts in a row for which nobody listened
}

// lookForAbsence reports the peer as gone once all its addresses have refused what used to stand, unless it still speaks. Of
// its streams one is enough to tell.
func (s *sender) lookForAbsence(x session) {
	a := &s.absence
	if x.up > 0 {
		a.stood = true
	}
	if a.refused++; !x.refused {
		a.refused = 0
	}
	if s.class != control || !a.stood || a.refused < x.addrs || s.t.cfg.Gone == nil || s.t.hears(s.peer.id) {
		return
	}
	a.stood = false
	s.t.cfg.Gone(s.peer.id)
}

// hears tells whether a stream of a member's comes in.
func (t *Transport) hears(member uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range classes {
		if _, ok := t.receivers[source{member, c}]; ok {
			return true
		}
	}
	return false
}
