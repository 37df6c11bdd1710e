package memfs

import "errors"

// Crash is the panic value for "the machine stopped here". [Catch] receives it.
type Crash struct {
	Op Op // the operation that did not happen any more
}

func (c Crash) String() string { return "memfs: crash before " + c.Op.String() }

// CrashAt returns a hook that panics with a Crash at the n-th operation from now, counting from 1.
func CrashAt(n int) func(Op) error {
	return func(op Op) error {
		n--
		if n == 0 {
			panic(Crash{Op: op})
		}
		return nil
	}
}

// Catch runs f and reports whether a Crash ended it. Other panics pass through.
func Catch(f func() error) (crashed bool, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case Crash:
			crashed = true
		default:
			panic(r)
		}
	}()
	return false, f()
}

// Short is a hook's result for a write that stops half-way: the first N bytes are written, then Err is returned.
type Short struct {
	N   int
	Err error
}

func (s *Short) Error() string { return "short write: " + s.Err.Error() }

func (s *Short) Unwrap() error { return s.Err }

// ErrLost is a hook's result for a write that the device acknowledges and never performs: the program goes on, reads
// show the new bytes until the machine dies, and no Sync makes them durable.
var ErrLost = errors.New("lost write")
