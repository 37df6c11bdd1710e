package snap

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

const (
	footerMagic = "QKVSNP\x00\x01"
	footerSize  = 48
	// maxConfBytes bounds the ConfState: far above any real cluster.
	maxConfBytes = 1 << 20
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// trailer is everything behind the content.
type trailer struct {
	meta    Meta
	content int64  // bytes
	sum     uint64 // xxHash64 of the content
	conf    int    // bytes of the encoded ConfState
}

func (t trailer) size() int64 { return int64(t.conf) + footerSize }

// encode returns ConfState and footer.
func (t trailer) encode() ([]byte, error) {
	var b []byte
	confField := uint32(0)
	if c := t.meta.ConfState; c != nil {
		var err error
		if b, err = (proto.MarshalOptions{Deterministic: true}).Marshal(c); err != nil {
			return nil, fmt.Errorf("encode ConfState: %w", err)
		}
		if len(b) > maxConfBytes {
			return nil, fmt.Errorf("encode ConfState: %d bytes, the most is %d", len(b), maxConfBytes)
		}
		confField = uint32(len(b)) + 1
	}
	b = append(b, footerMagic...)
	b = le.AppendUint64(b, t.meta.Index)
	b = le.AppendUint64(b, t.meta.Term)
	b = le.AppendUint64(b, uint64(t.content))
	b = le.AppendUint64(b, t.sum)
	b = le.AppendUint32(b, confField)
	return le.AppendUint32(b, checksum(b)), nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// decodeFooter reads the last bytes of a file of that size. They are not to be trusted before decodeConf has checked
// them together with the ConfState.
func decodeFooter(b []byte, fileSize int64) (t trailer, hasConf bool, err error) {
	if len(b) != footerSize || string(b[:8]) != footerMagic {
		return t, false, fmt.Errorf("no footer at the end of %d bytes", fileSize)
	}
	t = trailer{
		meta:    Meta{Index: le.Uint64(b[8:]), Term: le.Uint64(b[16:])},
		content: int64(le.Uint64(b[24:])),
		sum:     le.Uint64(b[32:]),
	}
	n := le.Uint32(b[40:])
	if n > 0 {
		t.conf = int(n - 1)
		hasConf = true
	}
	if t.conf > maxConfBytes || t.content < 0 || t.content > fileSize || t.content+t.size() != fileSize {
		return t, false, fmt.Errorf("footer of a file of %d bytes states %d bytes of content and %d of ConfState",
			fileSize, t.content, t.conf)
	}
	return t, hasConf, nil
}

// decodeConf checks ConfState and footer, and completes the trailer.
func (t *trailer) decodeConf(conf, footer []byte, hasConf bool) error {
	sum := crc32.Update(checksum(conf), castagnoli, footer[:footerSize-4])
	if want := le.Uint32(footer[footerSize-4:]); sum != want {
		return fmt.Errorf("footer has checksum %08x and states %08x", sum, want)
	}
	if !hasConf {
		return nil
	}
	t.meta.ConfState = new(raftpb.ConfState)
	if err := proto.Unmarshal(conf, t.meta.ConfState); err != nil {
		return fmt.Errorf("decode ConfState: %w", err)
	}
	return nil
}
