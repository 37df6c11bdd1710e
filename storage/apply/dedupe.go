package apply

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/quorumkv/quorumkv/storage/backend"
)

const (
	// DedupeWindow is how far behind its member's highest counter a command may arrive and still be told from a
	// duplicate. It must exceed what one member can have in flight.
	DedupeWindow = 16384

	windowVersion = 1
	windowBytes   = 1 + 8 + 8 + DedupeWindow/8 + 4
	windowPrefix  = "dedupe/"
)

// window remembers which commands of one member were executed. Raft may commit a command more than once: a proposal can
// be duplicated on its way to the leader.
type window struct {
	member uint64
	// epoch is the newest boot of the member that we saw. Whatever arrives from an older one is refused: the process
	// that waited for it is gone.
	epoch uint64
	// high is the highest counter seen in epoch.
	high uint64
	// seen has the bit (counter mod DedupeWindow) for every counter in (high-DedupeWindow, high].
	seen [DedupeWindow / 64]uint64
	// dirty is set while the last save does not hold what is above.
	dirty bool
}

// admit reports whether a command was not seen before, and remembers it.
func (w *window) admit(epoch, counter uint64) bool {
	switch {
	case epoch < w.epoch:
		return false
	case epoch > w.epoch:
		*w = window{member: w.member, epoch: epoch, high: counter}
	case counter > w.high:
		w.advance(counter)
	case w.high-counter >= DedupeWindow:
		return false
	}
	word, bit := &w.seen[counter%DedupeWindow/64], uint64(1)<<(counter%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	w.dirty = true
	return true
}

// advance moves the window's end to counter. The bits of the counters that it skips still tell of counters one window
// earlier and are cleared.
func (w *window) advance(counter uint64) {
	if counter-w.high >= DedupeWindow {
		clear(w.seen[:])
	} else {
		for c := w.high + 1; c <= counter; c++ {
			w.seen[c%DedupeWindow/64] &^= 1 << (c % 64)
		}
	}
	w.high = counter
}

func (w *window) key() []byte {
	return strconv.AppendUint([]byte(windowPrefix), w.member, 16)
}

func (w *window) encode() []byte {
	b := make([]byte, 0, windowBytes)
	b = append(b, windowVersion)
	b = binary.LittleEndian.AppendUint64(b, w.epoch)
	b = binary.LittleEndian.AppendUint64(b, w.high)
	b = w.appendBits(b)
	return binary.LittleEndian.AppendUint32(b, checksum(w.key(), b))
}

func (w *window) appendBits(b []byte) []byte {
	for _, word := range w.seen {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return b
}

func decodeWindow(key, b []byte) (*window, error) {
	member, err := strconv.ParseUint(string(key[len(windowPrefix):]), 16, 64)
	if err != nil || len(b) != windowBytes || b[0] != windowVersion ||
		binary.LittleEndian.Uint32(b[windowBytes-4:]) != checksum(key, b[:windowBytes-4]) {
		return nil, fmt.Errorf("read %s, %d bytes: %w", key, len(b), backend.ErrDamaged)
	}
	w := &window{
		member: member,
		epoch:  binary.LittleEndian.Uint64(b[1:]),
		high:   binary.LittleEndian.Uint64(b[9:]),
	}
	for i := range w.seen {
		w.seen[i] = binary.LittleEndian.Uint64(b[17+8*i:])
	}
	return w, nil
}
