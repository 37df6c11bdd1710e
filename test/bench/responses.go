package main

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// fields calls f with each field of a message: its number, and its value as a number or as bytes. Fields of other kinds
// are passed over.
func fields(b []byte, f func(field protowire.Number, number uint64, bytes []byte)) error {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		switch kind {
		case protowire.VarintType:
			var number uint64
			if number, n = protowire.ConsumeVarint(b); n >= 0 {
				f(field, number, nil)
			}
		case protowire.BytesType:
			var bytes []byte
			if bytes, n = protowire.ConsumeBytes(b); n >= 0 {
				f(field, 0, bytes)
			}
		default:
			n = protowire.ConsumeFieldValue(field, kind, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
	}
	return nil
}

// done is a response of which only counts that it came.
type done struct{}

func (done) Scan([]byte) error { return nil }

// ranged is a RangeResponse.
type ranged struct {
	keys, bytes int
	revision    int64
}

func (r *ranged) Scan(b []byte) error {
	*r = ranged{bytes: len(b)}
	return fields(b, func(field protowire.Number, _ uint64, bytes []byte) {
		switch field {
		case 1:
			r.revision = revisionOf(bytes)
		case 2:
			r.keys++
		}
	})
}

// revisionOf reads a ResponseHeader; 0 when there is none.
func revisionOf(header []byte) (revision int64) {
	_ = fields(header, func(field protowire.Number, number uint64, _ []byte) { // what is broken has no revision
		if field == 3 {
			revision = int64(number)
		}
	})
	return revision
}

// swapped is the TxnResponse to a compare-and-swap.
type swapped struct {
	succeeded bool
	revision  int64 // of the store
	found     int64 // revision of the key that was read instead
}

func (r *swapped) Scan(b []byte) error {
	*r = swapped{}
	return fields(b, func(field protowire.Number, number uint64, bytes []byte) {
		switch field {
		case 1:
			r.revision = revisionOf(bytes)
		case 2:
			r.succeeded = number != 0
		case 3:
			r.found = max(r.found, foundIn(bytes))
		}
	})
}

// foundIn reads the revision of the key in a ResponseOp with a RangeResponse; 0 when there is none.
func foundIn(operation []byte) (revision int64) {
	_ = fields(operation, func(field protowire.Number, _ uint64, ranged []byte) {
		if field != 1 {
			return
		}
		_ = fields(ranged, func(field protowire.Number, _ uint64, kv []byte) {
			if field != 2 {
				return
			}
			_ = fields(kv, func(field protowire.Number, number uint64, _ []byte) {
				if field == 3 {
					revision = int64(number)
				}
			})
		})
	})
	return revision
}

// watched is a WatchResponse.
type watched struct {
	events int
	watch  bool // it is one that says created, canceled or both
	end    bool // canceled
	// value is called with the value of each event, unless it is nil.
	value func([]byte)
}

func (r *watched) Scan(b []byte) error {
	*r = watched{value: r.value}
	return fields(b, func(field protowire.Number, _ uint64, bytes []byte) {
		switch field {
		case 3:
			r.watch = true
		case 4:
			r.watch, r.end = true, true
		case 11:
			r.events++
			if r.value != nil {
				r.value(valueOf(bytes))
			}
		}
	})
}

// valueOf reads the value of an Event's key; nil when there is none.
func valueOf(event []byte) (value []byte) {
	_ = fields(event, func(field protowire.Number, _ uint64, kv []byte) {
		if field == 2 {
			_ = fields(kv, func(field protowire.Number, _ uint64, bytes []byte) {
				if field == 5 {
					value = bytes
				}
			})
		}
	})
	return value
}

// keptAlive is a LeaseKeepAliveResponse.
type keptAlive struct{ ttl int64 }

func (r *keptAlive) Scan(b []byte) error {
	*r = keptAlive{}
	return fields(b, func(field protowire.Number, number uint64, _ []byte) {
		if field == 3 {
			r.ttl = int64(number)
		}
	})
}
