package wal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/datadir"
)

// Identity says who the node is, for good.
type Identity struct {
	ClusterID, MemberID uint64
	// Incarnation is random and new for each data directory, so that a copied or wiped directory is recognised.
	Incarnation [16]byte
	// Bootstrap is the initial membership, opaque here.
	Bootstrap []byte
}

// ErrIdentityLost says that the identity file is there and cannot be trusted. The node must rejoin as a new member.
var ErrIdentityLost = errors.New("identity is lost")

const (
	identityName      = datadir.Identity
	identityMagic     = "QKVIDN\x00\x01"
	identityFixedSize = 48
	// maxIdentityBytes bounds what is read: far more than any membership needs.
	maxIdentityBytes = 16 << 20
)

// LoadIdentity reads the identity. The error matches fs.ErrNotExist if there is none, ErrIdentityLost if it is damaged.
func LoadIdentity(f env.FS) (Identity, error) {
	file, err := f.Open(identityName)
	if err != nil {
		return Identity{}, fmt.Errorf("open identity: %w", err)
	}
	b, err := readAll(file, maxIdentityBytes)
	if err := errors.Join(err, file.Close()); err != nil {
		return Identity{}, fmt.Errorf("read identity: %w", err)
	}
	id, err := decodeIdentity(b)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: file %s of %d bytes: %w", ErrIdentityLost, identityName, len(b), err)
	}
	return id, nil
}

// CreateIdentity writes the identity, durably. It fails with fs.ErrExist if there is one: an identity never changes.
func CreateIdentity(f env.FS, id Identity) error {
	switch ok, err := exists(f, identityName); {
	case err != nil:
		return fmt.Errorf("look for identity: %w", err)
	case ok:
		return fmt.Errorf("create identity: %w", fs.ErrExist)
	}
	b := encodeIdentity(id)
	if len(b) > maxIdentityBytes {
		return fmt.Errorf("create identity: %d bytes, the most is %d", len(b), maxIdentityBytes)
	}
	return writeNew(f, identityName, b)
}

// MendIdentity reads the identity back and, if it is not id, writes it anew, durably and in one step. damage says what was
// wrong, nil if nothing was. An error together with damage is that of writing, and after env.ErrNoSpace the file is as it
// was; one without damage says that nobody could look.
func MendIdentity(f env.FS, id Identity) (damage, err error) {
	if file, err := f.Open(identityName); err == nil {
		file.Forget(0, maxIdentityBytes)
		_ = file.Close() // it was only looked at
	}
	found, err := LoadIdentity(f)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, env.ErrUnreadable), errors.Is(err, ErrIdentityLost):
		damage = err
	case err != nil:
		return nil, err
	case bytes.Equal(encodeIdentity(found), encodeIdentity(id)):
		return nil, nil
	default:
		damage = fmt.Errorf("file %s is another one, of member %x in cluster %x", identityName, found.MemberID, found.ClusterID)
	}
	if err := writeNew(f, identityName, encodeIdentity(id)); err != nil {
		return damage, fmt.Errorf("write identity anew: %w", err)
	}
	return damage, nil
}

func encodeIdentity(id Identity) []byte {
	b := make([]byte, 0, identityFixedSize+len(id.Bootstrap))
	b = append(b, identityMagic...)
	b = le.AppendUint64(b, id.ClusterID)
	b = le.AppendUint64(b, id.MemberID)
	b = append(b, id.Incarnation[:]...)
	b = le.AppendUint32(b, uint32(len(id.Bootstrap)))
	b = le.AppendUint32(b, identityCRC(b, id.Bootstrap))
	return append(b, id.Bootstrap...)
}

func identityCRC(fixed, bootstrap []byte) uint32 {
	return crc32.Update(crc32.Checksum(fixed[:44], castagnoli), castagnoli, bootstrap)
}

func decodeIdentity(b []byte) (Identity, error) {
	if len(b) < identityFixedSize {
		return Identity{}, fmt.Errorf("it is shorter than %d bytes", identityFixedSize)
	}
	if string(b[:8]) != identityMagic {
		return Identity{}, fmt.Errorf("it starts with %x, not %x", b[:8], identityMagic)
	}
	bootstrap := b[identityFixedSize:]
	if n := le.Uint32(b[40:]); uint64(n) != uint64(len(bootstrap)) {
		return Identity{}, fmt.Errorf("it states %d bootstrap bytes and holds %d", n, len(bootstrap))
	}
	if sum, want := identityCRC(b, bootstrap), le.Uint32(b[44:]); sum != want {
		return Identity{}, fmt.Errorf("it has checksum %08x and states %08x", sum, want)
	}
	id := Identity{
		ClusterID:   le.Uint64(b[8:]),
		MemberID:    le.Uint64(b[16:]),
		Incarnation: [16]byte(b[24:40]),
	}
	if len(bootstrap) > 0 {
		id.Bootstrap = append([]byte(nil), bootstrap...)
	}
	return id, nil
}
