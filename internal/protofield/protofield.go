// Package protofield writes fields of protobuf messages the way proto3 does, for the few messages that are encoded by hand. A
// field that has its zero value is left out. A tag is a field's number and wire type in one byte, so numbers end at 15.
package protofield

import "google.golang.org/protobuf/encoding/protowire"

// BytesSize is the length of what AppendBytes appends.
func BytesSize(v []byte) int {
	if len(v) == 0 {
		return 0
	}
	return 1 + protowire.SizeBytes(len(v))
}

// AppendBytes appends a field of bytes or text.
func AppendBytes(b []byte, tag byte, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(append(b, tag), v)
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
	return protowire.AppendVarint(append(b, tag), uint64(v))
}
