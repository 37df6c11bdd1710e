package transport

import (
	"testing"
	"time"
)

// mourner is a node that tells which peers it was told are gone.
func mourner(t *testing.T, id uint64) (*node, chan uint64) {
	gone := make(chan uint64, 100)
	return startNode(t, id, "127.0.0.1:0", func(c *Config, _ *timing) { c.Gone = func(id uint64) { gone <- id } }), gone
}

func hearsOf(t *testing.T, gone <-chan uint64, want uint64) {
	t.Helper()
	select {
	case id := <-gone:
		if id != want {
			t.Fatalf("member %x is gone, but %x was to be", id, want)
		}
	case <-time.After(patience):
		t.Fatalf("nobody said that member %x is gone", want)
	}
}

// attempts waits until so many attempts to reach a peer that is not there have come to nothing.
func (n *node) attempts(id uint64, count int) {
	n.Helper()
	wake := (*n.peers.Load())[id].senders[control].wake
	for range count + 2 { // each but the first was taken by a rest, which ends in an attempt, and all but the last are over
		select {
		case wake <- struct{}{}:
		case <-time.After(patience):
			n.Fatalf("member %x does not try to reach %x", n.id, id)
		}
	}
}

func TestGoneIsWhoWasThereAndRefuses(t *testing.T) {
	noGoroutines(t)
	a, gone := mourner(t, 1)
	b := startNode(t, 2, "127.0.0.1:0")
	for range 2 {
		link(a, b)
		b.stop()
		hearsOf(t, gone, 2)
		a.attempts(2, 3)
		if len(gone) > 0 {
			t.Fatal("told twice of one end")
		}
		b = startNode(t, 2, b.addr)
	}
}

func TestWhoWasNeverThereIsNotGone(t *testing.T) {
	noGoroutines(t)
	a, gone := mourner(t, 1)
	b := startNode(t, 2, "127.0.0.1:0")
	b.stop()
	a.SetPeers([]Peer{a.peer(), b.peer()})
	a.attempts(2, 3)
	if len(gone) > 0 {
		t.Fatal("a peer that was never there is gone")
	}
}

// Its listener is closed, but its own streams still stand: the process lives.
func TestWhoStillSpeaksIsNotGone(t *testing.T) {
	noGoroutines(t)
	a, gone := mourner(t, 1)
	b := startNode(t, 2, "127.0.0.1:0")
	link(a, b)
	b.server.Stop()
	a.attempts(2, 3)
	if len(gone) > 0 {
		t.Fatal("a peer that speaks is gone")
	}
	b.Transport.Close()
	hearsOf(t, gone, 2)
}
