package apply

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// Replicas compare their histories through the log. A check marks an entry; every replica notes its own history hash
// after that entry, and every member reports it by a command of its own. The hash that a majority of the voters has
// reported is the verdict: a replica whose own differs has diverged, and knows it when it applies the report that decides.
//
// The two commands are ours, not etcd's, and both may be executed any number of times, so that they pass by the dedupe
// windows: a replica that has diverged there must find out all the same.

// ownRequest is the first byte of a request that is not one of etcd's: no message of protobuf begins with 0.
const ownRequest = 0

const (
	kindCheck  = 1
	kindReport = 2

	reportBytes = 2 + 8 + 8
)

// CheckRequest returns the command that lets all replicas note their history hash.
func CheckRequest() []byte { return []byte{ownRequest, kindCheck} }

// ReportRequest returns the command with which its member says what it noted at the check at index.
func ReportRequest(index, hash uint64) []byte {
	b := binary.LittleEndian.AppendUint64([]byte{ownRequest, kindReport}, index)
	return binary.LittleEndian.AppendUint64(b, hash)
}

func isOwn(request []byte) bool { return len(request) > 0 && request[0] == ownRequest }

// IsCheck reports whether a command compares histories: it changes nothing that clients can see.
func (c *Command) IsCheck() bool { return isOwn(c.Request) }

// Check is the newest comparison of histories, as far as this replica has applied the log. It never changes.
type Check struct {
	// Index is that of the entry after which hashes are compared; 0: there was no check yet.
	Index uint64
	// Hash is this state's own after that entry. All else is the same on every replica.
	Hash uint64
	// Decided is set once a majority of the voters has reported one hash, the Verdict.
	Decided bool
	Verdict uint64
	// Stirred is set once something else than checks and reports was applied after the check's entry.
	Stirred bool
	// Reports is in order of members. Until the verdict a member's first one counts, since then its newest: it is
	// rebuilt.
	Reports []Report
}

// Report is what a member noted.
type Report struct{ Member, Hash uint64 }

// Diverged reports whether the majority has another history than this replica.
func (c *Check) Diverged() bool { return c.Decided && c.Hash != c.Verdict }

// Reported returns what a member reported.
func (c *Check) Reported(member uint64) (hash uint64, ok bool) {
	at, ok := c.find(member)
	if !ok {
		return 0, false
	}
	return c.Reports[at].Hash, true
}

// Agreeing lists the members that reported the verdict.
func (c *Check) Agreeing() []uint64 {
	var ids []uint64
	for _, r := range c.Reports {
		if c.Decided && r.Hash == c.Verdict {
			ids = append(ids, r.Member)
		}
	}
	return ids
}

// Disputed reports whether members differ, and no majority says which of them is right.
func (c *Check) Disputed() bool {
	return !c.Decided && slices.ContainsFunc(c.Reports, func(r Report) bool { return r.Hash != c.Reports[0].Hash })
}

// Hopeless reports whether no reports that are still to come can give one hash a majority of the voters.
func (c *Check) Hopeless(voters []uint64) bool {
	most, missing := 0, 0
	for _, id := range voters {
		if hash, ok := c.Reported(id); ok {
			most = max(most, c.count(voters, hash))
		} else {
			missing++
		}
	}
	return !c.Decided && most+missing <= len(voters)/2
}

// String names the check and what was reported.
func (c *Check) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "check at index %d", c.Index)
	for _, r := range c.Reports {
		fmt.Fprintf(&b, ", member %x has %016x", r.Member, r.Hash)
	}
	return b.String()
}

func (c *Check) find(member uint64) (int, bool) {
	return slices.BinarySearchFunc(c.Reports, member, func(r Report, id uint64) int { return cmp.Compare(r.Member, id) })
}

// count is how many of the voters reported a hash.
func (c *Check) count(voters []uint64, hash uint64) int {
	count := 0
	for _, id := range voters {
		if h, ok := c.Reported(id); ok && h == hash {
			count++
		}
	}
	return count
}

// reported returns the check with one more report. False means that the report says nothing new.
func (c *Check) reported(r Report, index uint64, voters []uint64) (*Check, bool) {
	at, known := c.find(r.Member)
	if index == 0 || index != c.Index || known && (!c.Decided || c.Reports[at] == r) {
		return c, false
	}
	next := *c
	next.Reports = slices.Clone(c.Reports)
	if known {
		next.Reports[at] = r
	} else {
		next.Reports = slices.Insert(next.Reports, at, r)
	}
	if !next.Decided && next.count(voters, r.Hash) > len(voters)/2 {
		next.Decided, next.Verdict = true, r.Hash
	}
	return &next, true
}

// DivergedError ends a machine whose history is another one than the majority's. It is damage: the state is made anew
// from that of a member that agrees.
type DivergedError struct{ Check *Check }

func (e *DivergedError) Error() string {
	var by []string
	for _, id := range e.Check.Agreeing() {
		by = append(by, fmt.Sprintf("%x", id))
	}
	return fmt.Sprintf("history hash %016x at index %d, the majority has %016x (members %s): %v", e.Check.Hash, e.Check.Index,
		e.Check.Verdict, strings.Join(by, ", "), backend.ErrDamaged)
}

func (e *DivergedError) Unwrap() error { return backend.ErrDamaged }

// compare carries out a command of ours.
func (m *Machine) compare(c *Command) (Response, error) {
	if _, ok := findMember(m.members, c.ID.Member); !ok {
		return Response{}, ErrNotMember
	}
	r := Response{Revision: m.kv.Revision()}
	switch b := c.Request; {
	case len(b) == 2 && b[1] == kindCheck:
		m.checking = true
		return r, nil
	case len(b) == reportBytes && b[1] == kindReport:
		index, report := binary.LittleEndian.Uint64(b[2:]), Report{c.ID.Member, binary.LittleEndian.Uint64(b[10:])}
		next, news := m.check.reported(report, index, m.confState.GetVoters())
		if m.check = next; news {
			m.history.report(index, report)
		}
		if next.Diverged() {
			return Response{}, &DivergedError{next}
		}
		return r, nil
	}
	return Response{}, ErrMalformedRequest
}

// compared ends an entry: with a check in it, the hash after it is what counts.
func (m *Machine) compared() {
	switch {
	case m.checking:
		m.check = &Check{Index: m.index, Hash: m.history.sum}
	case m.stirred && !m.check.Stirred:
		next := *m.check
		next.Stirred = true
		m.check = &next
	}
	m.checking, m.stirred = false, false
}

var keyCheck = []byte("historyCheck")

const (
	checkVersion = 1
	checkBytes   = 1 + 8 + 8 + 1 + 8 // before the reports

	flagDecided = 1
	flagStirred = 2
)

func (c *Check) encode() []byte {
	b := make([]byte, 0, checkBytes+16*len(c.Reports))
	b = append(b, checkVersion)
	b = binary.LittleEndian.AppendUint64(b, c.Index)
	b = binary.LittleEndian.AppendUint64(b, c.Hash)
	flags := byte(0)
	if c.Decided {
		flags |= flagDecided
	}
	if c.Stirred {
		flags |= flagStirred
	}
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint64(b, c.Verdict)
	for _, r := range c.Reports {
		b = binary.LittleEndian.AppendUint64(b, r.Member)
		b = binary.LittleEndian.AppendUint64(b, r.Hash)
	}
	return b
}

func decodeCheck(b []byte) (*Check, error) {
	if len(b) < checkBytes || (len(b)-checkBytes)%16 != 0 || b[0] != checkVersion || b[17] > flagDecided|flagStirred {
		return nil, fmt.Errorf("read %s, %d bytes: %w", keyCheck, len(b), backend.ErrDamaged)
	}
	c := &Check{
		Index: binary.LittleEndian.Uint64(b[1:]), Hash: binary.LittleEndian.Uint64(b[9:]),
		Decided: b[17]&flagDecided != 0, Stirred: b[17]&flagStirred != 0, Verdict: binary.LittleEndian.Uint64(b[18:]),
	}
	for b = b[checkBytes:]; len(b) > 0; b = b[16:] {
		r := Report{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
		if n := len(c.Reports); n > 0 && c.Reports[n-1].Member >= r.Member {
			return nil, fmt.Errorf("read report of member %x in %s: %w", r.Member, keyCheck, backend.ErrDamaged)
		}
		c.Reports = append(c.Reports, r)
	}
	return c, nil
}

// saveCheck adds to b what makes the stored check that of now.
func (s *state) saveCheck(b *backend.Batch) {
	if s.check != s.storedCheck {
		b.Put(backend.Meta, keyCheck, s.check.encode())
	}
}

func (s *state) loadCheck(meta *bbolt.Bucket, sum uint32) (err error) {
	b := bytes.Clone(meta.Get(keyCheck))
	if checksum(b) != sum {
		return fmt.Errorf("read %s, %d bytes: %w", keyCheck, len(b), backend.ErrDamaged)
	}
	if s.check, err = decodeCheck(b); err == nil {
		s.storedCheck = s.check
	}
	return err
}
