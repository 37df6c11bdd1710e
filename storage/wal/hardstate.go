package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/datadir"
)

// HardState is what the node promised to others. Peers can give back entries, never a vote: so it is kept apart from
// the log, twice.
type HardState struct {
	Term, Vote uint64
	// BootEpoch grows at every start.
	BootEpoch uint64
}

// ErrHardStateLost says that both copies are damaged: the node does not know any more whom it voted for, and must
// rejoin as a new member.
var ErrHardStateLost = errors.New("hard state is lost")

const (
	hardStateName = datadir.HardState
	hardMagic     = "QKVHRD\x00\x01"
	hardCopySize  = 4096
	hardUsed      = 44 // bytes of a copy that mean something
)

// HardStateFile keeps two copies. Save makes the first durable before it touches the second, so at any crash one of
// them is whole and holds the last state that was saved. Alternating between two slots would not do: a vote would then
// stand in one of them only, and damage to it would bring back the state before.
type HardStateFile struct {
	file env.File
	seq  uint64
	last HardState
	buf  [hardCopySize]byte
	err  error // sticky
}

// CreateHardState makes the file, durably, replacing one that is there.
func CreateHardState(f env.FS, hs HardState) (*HardStateFile, error) {
	var content [2 * hardCopySize]byte
	encodeHardState(content[:hardCopySize], 1, hs)
	encodeHardState(content[hardCopySize:], 1, hs)
	if err := writeNew(f, hardStateName, content[:]); err != nil {
		return nil, fmt.Errorf("create hard state: %w", err)
	}
	file, err := f.Open(hardStateName)
	if err != nil {
		return nil, fmt.Errorf("open hard state: %w", err)
	}
	return &HardStateFile{file: file, seq: 1, last: hs}, nil
}

// OpenHardState reads the newest intact copy and writes both anew. The error matches fs.ErrNotExist if there is no
// file, and ErrHardStateLost if no copy is intact.
//
// It writes even if both look fine: after a failed sync, what this process reads may be in the page cache only. The
// state that is returned is durable.
func OpenHardState(f env.FS) (*HardStateFile, HardState, error) {
	file, err := f.Open(hardStateName)
	if err != nil {
		return nil, HardState{}, fmt.Errorf("open hard state: %w", err)
	}
	h, err := recoverHardState(file)
	if err != nil {
		return nil, HardState{}, errors.Join(err, file.Close())
	}
	return h, h.last, nil
}

func recoverHardState(file env.File) (*HardStateFile, error) {
	seq1, hs1, err1 := readHardState(file, 0)
	seq2, hs2, err2 := readHardState(file, 1)

	h := &HardStateFile{file: file}
	good := 0
	switch {
	case err1 != nil && err2 != nil:
		return nil, fmt.Errorf("%w: file %s: copy 1: %w; copy 2: %w", ErrHardStateLost, hardStateName, err1, err2)
	case err1 != nil || (err2 == nil && seq2 > seq1):
		h.seq, h.last, good = seq2, hs2, 1
	default:
		h.seq, h.last = seq1, hs1
	}
	// The copy that was read is rewritten last: until the other one is durable it is the only one.
	for _, i := range [2]int{1 - good, good} {
		if err := h.writeCopy(i, h.seq, h.last); err != nil {
			return nil, fmt.Errorf("rewrite hard state: %w", err)
		}
	}
	return h, nil
}

// readHardState reads one copy. A sector that cannot be read is damage like any other: the second copy is there for
// that.
func readHardState(file env.File, i int) (uint64, HardState, error) {
	var b [hardUsed]byte
	if err := readAt(file, b[:], int64(i)*hardCopySize); err != nil {
		return 0, HardState{}, err
	}
	return decodeHardState(b[:])
}

// Save makes hs durable. After an error nothing is known about it, and every later Save fails too. The exception is
// env.ErrNoSpace: one copy at least is as it was, and a later Save tries again.
func (f *HardStateFile) Save(hs HardState) error {
	if f.err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, f.err)
	}
	if err := f.last.mayBecome(hs); err != nil {
		return fmt.Errorf("save hard state: %w", err)
	}
	seq := f.seq + 1
	for i := range 2 {
		if err := f.writeCopy(i, seq, hs); err != nil {
			if !errors.Is(err, env.ErrNoSpace) {
				f.err = err
			}
			return fmt.Errorf("save hard state: %w", err)
		}
	}
	f.seq, f.last = seq, hs
	return nil
}

// Mend reads both copies back and, if one of them is not what was saved, replaces the file by a new one, durably and in one
// step. damage says what was wrong, nil if nothing was. An error together with damage is that of writing, and after
// env.ErrNoSpace the file is as it was; one without damage says that nobody could look.
func (f *HardStateFile) Mend(fsys env.FS) (damage, err error) {
	if f.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFailed, f.err)
	}
	if damage, err = f.differs(fsys); damage == nil {
		return nil, err
	}
	var content [2 * hardCopySize]byte
	encodeHardState(content[:hardCopySize], f.seq, f.last)
	encodeHardState(content[hardCopySize:], f.seq, f.last)
	err = writeNew(fsys, hardStateName, content[:])
	var file env.File
	if err == nil {
		file, err = fsys.Open(hardStateName)
	}
	if err != nil {
		if !errors.Is(err, env.ErrNoSpace) {
			f.err = err
		}
		return damage, fmt.Errorf("write hard state anew: %w", err)
	}
	old := f.file
	f.file = file
	if err := old.Close(); err != nil {
		return damage, fmt.Errorf("close old hard state: %w", err)
	}
	return damage, nil
}

// differs says how the file under its name differs from what was saved. A newer copy is none: a Save that found no space
// may have come as far as the first one.
func (f *HardStateFile) differs(fsys env.FS) (damage, err error) {
	f.file.Forget(0, 2*hardCopySize)
	copies, err := InspectHardState(fsys)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, env.ErrUnreadable):
		return err, nil
	case err != nil:
		return nil, err
	}
	for i, c := range copies {
		switch {
		case c.Damage != nil:
			return fmt.Errorf("copy %d of 2: %w", i+1, c.Damage), nil
		case c.Sequence < f.seq || c.Sequence == f.seq && c.State != f.last:
			return fmt.Errorf("copy %d of 2 is of save %d: %+v; the last was save %d: %+v", i+1, c.Sequence, c.State, f.seq,
				f.last), nil
		}
	}
	return nil, nil
}

// mayBecome refuses to take back a promise, whoever asks for it.
func (hs HardState) mayBecome(next HardState) error {
	switch {
	case next.Term < hs.Term:
		return fmt.Errorf("term %d after term %d", next.Term, hs.Term)
	case next.Term == hs.Term && hs.Vote != 0 && next.Vote != hs.Vote:
		return fmt.Errorf("vote for %x in term %d after a vote for %x", next.Vote, next.Term, hs.Vote)
	case next.BootEpoch < hs.BootEpoch:
		return fmt.Errorf("boot epoch %d after %d", next.BootEpoch, hs.BootEpoch)
	}
	return nil
}

func (f *HardStateFile) writeCopy(i int, seq uint64, hs HardState) error {
	encodeHardState(f.buf[:], seq, hs)
	if _, err := f.file.WriteAt(f.buf[:], int64(i)*hardCopySize); err != nil {
		return fmt.Errorf("write copy %d: %w", i+1, err)
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("sync copy %d: %w", i+1, err)
	}
	return nil
}

// Close gives up the file.
func (f *HardStateFile) Close() error {
	if errors.Is(f.err, errClosed) {
		return nil
	}
	f.err = errClosed
	if err := f.file.Close(); err != nil {
		return fmt.Errorf("close hard state: %w", err)
	}
	return nil
}

func encodeHardState(b []byte, seq uint64, hs HardState) {
	clear(b)
	copy(b, hardMagic)
	le.PutUint64(b[8:], seq)
	le.PutUint64(b[16:], hs.Term)
	le.PutUint64(b[24:], hs.Vote)
	le.PutUint64(b[32:], hs.BootEpoch)
	le.PutUint32(b[40:], crc32.Checksum(b[:40], castagnoli))
}

func decodeHardState(b []byte) (seq uint64, hs HardState, err error) {
	if len(b) < hardUsed {
		return 0, hs, fmt.Errorf("it is shorter than %d bytes", hardUsed)
	}
	if string(b[:8]) != hardMagic {
		return 0, hs, fmt.Errorf("it starts with %x, not %x", b[:8], hardMagic)
	}
	if sum, want := crc32.Checksum(b[:40], castagnoli), le.Uint32(b[40:]); sum != want {
		return 0, hs, fmt.Errorf("it has checksum %08x and states %08x", sum, want)
	}
	return le.Uint64(b[8:]), HardState{le.Uint64(b[16:]), le.Uint64(b[24:]), le.Uint64(b[32:])}, nil
}
