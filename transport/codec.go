package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/buffers"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// codecName is the content subtype of peer traffic. gRPC finds the receiver's codec by it, in a process-wide table.
const codecName = "quorumkv-peer"

const crcBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("message damaged on the way: its checksum differs")

func init() { encoding.RegisterCodecV2(codec{}) }

// frame is a message that learns its encoded size as it passes the codec, so that bytes can be counted per peer.
type frame struct {
	message proto.Message
	size    int
}

// codec is protobuf with a checksum behind it (see the package comment). It takes frames and plain proto messages.
type codec struct{}

func (codec) Name() string { return codecName }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	m, err := messageOf(v)
	if err != nil {
		return nil, err
	}
	// The cached size is valid: it was computed in the line above, and messages do not change once sent.
	size := proto.Size(m)
	buf := buffers.Pool.Get(size + crcBytes)
	data, err := encode((*buf)[:0], m, proto.MarshalOptions{UseCachedSize: true})
	if err != nil {
		buffers.Pool.Put(buf)
		return nil, err
	}
	*buf = data
	if f, ok := v.(*frame); ok {
		f.size = len(*buf)
	}
	return mem.BufferSlice{mem.NewBuffer(buf, buffers.Pool)}, nil
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, err := messageOf(v)
	if err != nil {
		return err
	}
	buf := data.MaterializeToBuffer(buffers.Pool)
	defer buf.Free()
	b := buf.ReadOnlyData()
	if f, ok := v.(*frame); ok {
		f.size = len(b)
	}
	return Decode(b, m)
}

// Encode returns a message as it travels. Together with Decode and Check it is for a network that is not gRPC's: the
// simulator's.
func Encode(m *peerpb.Message) ([]byte, error) {
	return encode(nil, m, proto.MarshalOptions{Deterministic: true})
}

func encode(b []byte, m proto.Message, o proto.MarshalOptions) ([]byte, error) {
	b, err := o.MarshalAppend(b, m)
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// Decode reads what Encode returned. The error says that it was damaged on the way, or is no message.
func Decode(b []byte, m proto.Message) error {
	if len(b) < crcBytes {
		return errDamaged
	}
	body, sum := b[:len(b)-crcBytes], b[len(b)-crcBytes:]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(sum) {
		return errDamaged
	}
	return proto.Unmarshal(body, m)
}

func messageOf(v any) (proto.Message, error) {
	switch v := v.(type) {
	case *frame:
		return v.message, nil
	case proto.Message:
		return v, nil
	}
	return nil, fmt.Errorf("%T is no protobuf message", v)
}
