// Package snap keeps whole copies of the state in files, to be sent to followers whose entries are gone, and received
// from leaders. It knows nothing of what the content means.
//
// Invariants:
//   - A file under a snapshot's name is complete, synced, and was verified against its checksum when it was received. It
//     never changes.
//   - Whatever is unfinished ends in ".tmp", and [Sweep] may remove it at any start.
//   - Content is served only with its checksum: [Reader.Content] ends in [ErrDamaged] instead of io.EOF if one bit is wrong.
//
// A snapshot file, snap/<index>-<term>.db (16 hex digits each; numbers little endian):
//
//	+---------+-----------+--------+
//	| content | ConfState | footer |
//	+---------+-----------+--------+
//
// The footer, the last 48 bytes:
//
//	offset  size  field
//	     0     8  magic and version, "QKVSNP\x00\x01"
//	     8     8  index of the last entry in the state
//	    16     8  term of that entry
//	    24     8  length of the content
//	    32     8  xxHash64 of the content
//	    40     4  length of the ConfState (protobuf) plus one; 0 = none
//	    44     4  CRC-32C of the ConfState and of bytes 0..44
//
// Content comes first so that a file can be written while its length and checksum are still unknown, and so that it may
// be handed as it is to anyone who wants the state file alone. Two checksums, because the footer must be trustworthy
// before gigabytes of content were read.
//
// All functions block on files and belong on one lane; there are no goroutines.
package snap

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
)

// Meta says which state a snapshot holds: the one after the entry at Index, under ConfState.
type Meta struct {
	Index, Term uint64
	ConfState   *raftpb.ConfState
}

// ErrDamaged says that a snapshot file is not what was once written. Remove it and take or fetch another.
var ErrDamaged = errors.New("snapshot is damaged")

const (
	suffix    = ".db"
	tmpSuffix = ".tmp"
)

// FileName names a finished snapshot. Names sort by index.
func FileName(dir string, index, term uint64) string {
	return path.Join(dir, fmt.Sprintf("%016x-%016x%s", index, term, suffix))
}

// parseName is FileName's inverse, without the directory.
func parseName(name string) (index, term uint64, ok bool) {
	body, ok := strings.CutSuffix(name, suffix)
	if !ok || len(body) != 33 || body[16] != '-' || strings.ToLower(body) != body {
		return 0, 0, false
	}
	index, err1 := strconv.ParseUint(body[:16], 16, 64)
	term, err2 := strconv.ParseUint(body[17:], 16, 64)
	return index, term, err1 == nil && err2 == nil
}

// List returns index and term of the finished snapshots, oldest first. A directory that does not exist has none.
func List(fs env.FS, dir string) ([]Meta, error) {
	names, err := list(fs, dir)
	if err != nil {
		return nil, err
	}
	var found []Meta
	for _, name := range names {
		if index, term, ok := parseName(name); ok {
			found = append(found, Meta{Index: index, Term: term})
		}
	}
	return found, nil
}

// Remove deletes a snapshot. A Reader that has it open must be closed first.
func Remove(fs env.FS, dir string, index, term uint64) error {
	if err := fs.Remove(FileName(dir, index, term)); err != nil {
		return fmt.Errorf("remove snapshot at index %d: %w", index, err)
	}
	return syncDir(fs, dir)
}

// Sweep removes what interrupted writers and receivers left. None may be at work.
func Sweep(fs env.FS, dir string) error {
	names, err := list(fs, dir)
	if err != nil {
		return err
	}
	swept := false
	for _, name := range names {
		if !strings.HasSuffix(name, tmpSuffix) {
			continue
		}
		if err := fs.Remove(path.Join(dir, name)); err != nil {
			return fmt.Errorf("sweep unfinished snapshot: %w", err)
		}
		swept = true
	}
	if !swept {
		return nil
	}
	return syncDir(fs, dir)
}
