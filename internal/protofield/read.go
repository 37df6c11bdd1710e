package protofield

import "google.golang.org/protobuf/encoding/protowire"

// Field is a field of an encoded message.
type Field struct {
	// Tag is the field's number and wire type: number << 3 | type.
	Tag uint64
	// Number is the value of a field of type 0, a varint.
	Number uint64
	// Bytes is the value of a field of type 2, bytes or a message. It aliases what it was read from.
	Bytes []byte
}

// Each hands field after field of an encoded message to take. It stops and reports false when take does, and at what Next
// reports false for.
func Each(message []byte, take func(Field) bool) bool {
	for len(message) > 0 {
		f, rest, ok := Next(message)
		if !ok || !take(f) {
			return false
		}
		message = rest
	}
	return true
}

// Next reads the first field of an encoded message and returns what is behind it. It reports false for what is malformed, and
// for fields of other types.
func Next(message []byte) (f Field, rest []byte, ok bool) {
	tag, n := protowire.ConsumeVarint(message)
	if n < 0 {
		return Field{}, nil, false
	}
	f.Tag, rest = tag, message[n:]
	switch protowire.Type(tag & 7) {
	case protowire.VarintType:
		f.Number, n = protowire.ConsumeVarint(rest)
	case protowire.BytesType:
		f.Bytes, n = protowire.ConsumeBytes(rest)
	default:
		return Field{}, nil, false
	}
	if n < 0 {
		return Field{}, nil, false
	}
	f.Bytes = f.Bytes[:len(f.Bytes):len(f.Bytes)] // whoever appends to it must not write into the message
	return f, rest[n:], true
}
