package watch

import "errors"

// Errors of [Stream.Create].
var (
	// ErrEmptyRange says that no key can be in the range.
	ErrEmptyRange = errors.New("range of keys is empty")
	// ErrDuplicateID says that the stream has a watcher of that id.
	ErrDuplicateID = errors.New("watch id is in use on this stream")
	// ErrNegativeRevision says that the first revision wanted is below zero.
	ErrNegativeRevision = errors.New("first revision is negative")
)

// Spec is what a client wants to watch. It never changes.
type Spec struct {
	// Key and End are a range as in a Range request: one key when End is empty, all from Key on when it is one zero byte.
	Key, End string
	// Start is the first revision wanted; 0 is the next one.
	Start int64
	Options
}

// Options say how a client wants to be told.
type Options uint8

const (
	// NoPut and NoDelete leave out events of that kind.
	NoPut Options = 1 << iota
	NoDelete
	// PrevKV adds to each event what the key had before.
	PrevKV
	// Notify asks for progress notices from time to time.
	Notify
	// Fragment allows to send a large revision in several responses.
	Fragment
)

// Has reports whether one of some options is set.
func (o Options) Has(some Options) bool { return o&some != 0 }

// Contains reports whether the range has a key.
func (s *Spec) Contains(key string) bool { return contains(s.Key, s.End, key) }

func (s *Spec) check() error {
	switch {
	case s.Start < 0:
		return ErrNegativeRevision
	case s.End != "" && s.End != "\x00" && s.Key >= s.End:
		return ErrEmptyRange
	}
	return nil
}
