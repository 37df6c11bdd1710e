package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Format is the version of the file form. A reader refuses every other one.
const Format = 2

// The file form is JSON lines. The first is the header; each of the others is an object with one field, which says what
// the line is: an op, a watch, a lease, a poll, a claim, a fault, a start, a change of the truth, a member's dump, a hash.
type header struct {
	Format    int      `json:"quorumkv_drill_history"`
	Prefix    string   `json:"prefix"`
	Members   []string `json:"members"`
	First     int64    `json:"first"`
	Last      int64    `json:"last"`
	Compacted int64    `json:"compacted,omitempty"`
}

type line struct {
	Op    *Op    `json:"op,omitempty"`
	Watch *Watch `json:"watch,omitempty"`
	Lease *Lease `json:"lease,omitempty"`
	Poll  *Poll  `json:"poll,omitempty"`
	Claim *Claim `json:"claim,omitempty"`
	Fault *Fault `json:"fault,omitempty"`
	Start *Start `json:"start,omitempty"`
	Truth *Event `json:"truth,omitempty"`
	Dump  *dump  `json:"dump,omitempty"`
	Hash  *Hash  `json:"hash,omitempty"`
}

type dump struct {
	Member string  `json:"member"`
	Keys   []Event `json:"keys"`
}

// Write writes a history in its file form. Equal histories make equal files. Keys and values must be UTF-8.
func Write(w io.Writer, h *History) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(header{Format, h.Prefix, h.Members, h.First, h.Last, h.Compacted})
	put := func(l line) {
		if err == nil {
			err = enc.Encode(l)
		}
	}
	for i := range h.Ops {
		put(line{Op: &h.Ops[i]})
	}
	for i := range h.Watches {
		put(line{Watch: &h.Watches[i]})
	}
	for i := range h.Leases {
		put(line{Lease: &h.Leases[i]})
	}
	for i := range h.Polls {
		put(line{Poll: &h.Polls[i]})
	}
	for i := range h.Claims {
		put(line{Claim: &h.Claims[i]})
	}
	for i := range h.Faults {
		put(line{Fault: &h.Faults[i]})
	}
	for i := range h.Starts {
		put(line{Start: &h.Starts[i]})
	}
	for i := range h.Truth {
		put(line{Truth: &h.Truth[i]})
	}
	for _, member := range slices.Sorted(maps.Keys(h.Dumps)) {
		put(line{Dump: &dump{member, h.Dumps[member]}})
	}
	for i := range h.Hashes {
		put(line{Hash: &h.Hashes[i]})
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// Read reads what [Write] wrote. Errors name the line, counted from 1.
func Read(r io.Reader) (*History, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var h *History
	for number := 1; ; number++ {
		text, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read history: line %d: %w", number, err)
		}
		last := err != nil
		if last && len(text) == 0 {
			if h == nil {
				return nil, errors.New("read history: line 1: the file is empty")
			}
			return h, nil
		}
		if last {
			return nil, fmt.Errorf("read history: line %d: cut off in the middle: the file is not whole", number)
		}
		if h == nil {
			h, err = readHeader(text)
		} else {
			err = h.readLine(text)
		}
		if err != nil {
			return nil, fmt.Errorf("read history: line %d: %w", number, err)
		}
	}
}

func readHeader(text []byte) (*History, error) {
	var head header
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("this is no drill's history: %w", err)
	}
	switch {
	case head.Format == 0:
		return nil, errors.New(`this is no drill's history: no "quorumkv_drill_history" in it`)
	case head.Format != Format:
		return nil, fmt.Errorf("format %d, this program reads %d: use the version that wrote it", head.Format, Format)
	}
	return &History{Prefix: head.Prefix, Members: head.Members, First: head.First, Last: head.Last, Compacted: head.Compacted}, nil
}

func (h *History) readLine(text []byte) error {
	var l line
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind the object")
	}
	things := 0
	take(&h.Ops, l.Op, &things)
	take(&h.Watches, l.Watch, &things)
	take(&h.Leases, l.Lease, &things)
	take(&h.Polls, l.Poll, &things)
	take(&h.Claims, l.Claim, &things)
	take(&h.Faults, l.Fault, &things)
	take(&h.Starts, l.Start, &things)
	take(&h.Truth, l.Truth, &things)
	take(&h.Hashes, l.Hash, &things)
	if l.Dump != nil {
		things++
		if _, ok := h.Dumps[l.Dump.Member]; ok {
			return fmt.Errorf("a second dump of member %q", l.Dump.Member)
		}
		if h.Dumps == nil {
			h.Dumps = map[string][]Event{}
		}
		h.Dumps[l.Dump.Member] = l.Dump.Keys
	}
	if things != 1 {
		return fmt.Errorf("%d things in a line, want one", things)
	}
	return nil
}

func take[T any](to *[]T, v *T, things *int) {
	if v != nil {
		*to = append(*to, *v)
		*things++
	}
}
