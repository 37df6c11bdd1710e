package mvcc

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// Revision is a point in the history of the store. One client command makes one main revision; the changes within it
// are numbered by sub, from zero.
type Revision struct{ Main, Sub int64 }

func (r Revision) String() string { return fmt.Sprintf("%d/%d", r.Main, r.Sub) }

// Compare orders revisions as they happened.
func (r Revision) Compare(o Revision) int {
	if c := cmp.Compare(r.Main, o.Main); c != 0 {
		return c
	}
	return cmp.Compare(r.Sub, o.Sub)
}

const (
	revisionBytes  = 8 + 1 + 8
	separator      = '_'
	tombstoneMark  = 't'
	tombstoneBytes = revisionBytes + 1
)

// revisionKeyBytes is the length of a row's key.
func revisionKeyBytes(tombstone bool) int {
	if tombstone {
		return tombstoneBytes
	}
	return revisionBytes
}

// appendRevisionKey appends the key under which a row is stored.
func appendRevisionKey(b []byte, r Revision, tombstone bool) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(r.Main))
	b = append(b, separator)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Sub))
	if tombstone {
		b = append(b, tombstoneMark)
	}
	return b
}

// parseRevisionKey is the inverse of appendRevisionKey.
func parseRevisionKey(b []byte) (r Revision, tombstone bool, err error) {
	switch {
	case len(b) == revisionBytes:
	case len(b) == tombstoneBytes && b[revisionBytes] == tombstoneMark:
		tombstone = true
	default:
		return Revision{}, false, fmt.Errorf("row key %x: %w", b, backend.ErrDamaged)
	}
	r.Main = int64(binary.BigEndian.Uint64(b))
	r.Sub = int64(binary.BigEndian.Uint64(b[9:]))
	if b[8] != separator || r.Main < 0 || r.Sub < 0 || r.Sub > maxSub {
		return Revision{}, false, fmt.Errorf("row key %x: %w", b, backend.ErrDamaged)
	}
	return r, tombstone, nil
}
