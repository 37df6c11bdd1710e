// Package protofield writes fields of protobuf messages the way proto3 does, for the few messages that are encoded by hand. A
// field that has its zero value is left out. A tag is a field's number and wire type in one byte, so numbers end at 15.
package protofield

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"
)

// BytesSize is the length of what AppendBytes appends, for a field of so many bytes.
func BytesSize(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(n)
}

// AppendBytes appends a field of bytes or text.
func AppendBytes(b []byte, tag byte, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return append(binary.AppendUvarint(append(b, tag), uint64(len(v))), v...)
}

// Number is the type of a field that protobuf writes as a varint; a negative one takes ten bytes.
type Number interface{ ~int64 | ~uint64 }

// NumberSize is the length of what AppendNumber appends.
func NumberSize[N Number](v N) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(uint64(v))
}

// AppendNumber appends a field that is a number.
func AppendNumber[N Number](b []byte, tag byte, v N) []byte {
	if v == 0 {
		return b
	}
	return binary.AppendUvarint(append(b, tag), uint64(v))
}
