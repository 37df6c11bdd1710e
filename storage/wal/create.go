package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/quorumkv/quorumkv/internal/env"
)

// Create makes an empty log that starts after base, durably. It fails with fs.ErrExist if the directory holds one.
func Create(f env.FS, dir string, cfg Config, base Snapshot) error {
	cfg, err := cfg.validate()
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	if err := f.MkdirAll(dir); err != nil {
		return fmt.Errorf("create log directory: %w", err)
	}
	if err := f.SyncDir(path.Dir(dir)); err != nil {
		return fmt.Errorf("sync directory above the log: %w", err)
	}
	d, err := readDirectory(f, dir)
	if err != nil {
		return err
	}
	if len(d.numbers) > 0 {
		return fmt.Errorf("create log: segment %d: %w", d.numbers[0], fs.ErrExist)
	}
	born, err := makeSegment(f, dir, cfg, segmentHeader{
		number:    1,
		lastIndex: base.Index,
		lastTerm:  base.Term,
		snap:      base,
	}, nil)
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	return born.file.Close()
}

// shortFraction is what a segment shrinks to when space is short: a sixteenth.
const shortFraction = 16

// newborn is a segment that was just made and named.
type newborn struct {
	file  env.File
	size  int64
	crc   segmentCRC
	off   int64  // end of what is written
	chain uint32 // checksum of the last header in it
}

// firstFrame is what a segment is born with behind its header, if anything.
type firstFrame struct {
	frameHeader
	record Record
}

// makeSegment writes a segment's header and its first frame, syncs them, and only then gives the file its name (W3). A
// prepared file is used if there is one. On a disk that has no room for a whole segment it is a short one, so that a node
// whose space is nearly used up can still elect, compact and delete. env.ErrNoSpace comes back only from before anything
// was written.
func makeSegment(f env.FS, dir string, cfg Config, h segmentHeader, first *firstFrame) (newborn, error) {
	crc := newSegmentCRC(cfg.Seed, h.number)
	buf, chain, err := encodeBirth(crc, h, first)
	if err != nil {
		return newborn{}, err
	}
	size := max(cfg.SegmentBytes, int64(len(buf))+frameHeaderSize)
	name := segmentName(dir, h.number)
	tmp := name + tmpSuffix
	file, size, err := blankFile(f, dir, tmp, size)
	if short := max(cfg.SegmentBytes/shortFraction, int64(len(buf))+frameHeaderSize); errors.Is(err, env.ErrNoSpace) {
		file, size, err = blankFile(f, dir, tmp, max(short, minSegmentBytes))
	}
	if err != nil {
		return newborn{}, fmt.Errorf("make log segment %d: %w", h.number, err)
	}
	err = publish(f, dir, file, buf, tmp, name)
	if err != nil {
		return newborn{}, fmt.Errorf("make log segment %d: %w", h.number, errors.Join(err, file.Close()))
	}
	return newborn{file: file, size: size, crc: crc, off: int64(len(buf)), chain: chain}, nil
}

// encodeBirth encodes header and first frame. Born comes before the checksum, so the frame is measured first.
func encodeBirth(crc segmentCRC, h segmentHeader, first *firstFrame) ([]byte, uint32, error) {
	conf, err := encodeConf(h.snap.ConfState)
	if err != nil {
		return nil, 0, err
	}
	if len(conf) > maxConfBytes {
		return nil, 0, fmt.Errorf("ConfState of %d bytes", len(conf))
	}
	h.born = segmentHeaderSize(conf)
	var reset []byte
	if first != nil {
		if reset, err = encodeReset(first.record); err != nil {
			return nil, 0, err
		}
		h.born += frameSize(int64(len(reset)) + entriesSize(first.record.Entries))
	}
	buf := encodeSegmentHeader(make([]byte, 0, h.born), crc, &h, conf)
	if first == nil {
		return buf, h.crc, nil
	}
	first.prevCRC = h.crc
	buf = encodeFrame(buf, crc.at(int64(len(buf))), &first.frameHeader, reset, first.record.Entries)
	return buf, first.crc, nil
}

// publish writes buf and makes file visible under its name.
func publish(f env.FS, dir string, file env.File, buf []byte, tmp, name string) error {
	if _, err := file.WriteAt(buf, 0); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if err := f.Rename(tmp, name); err != nil {
		return err
	}
	if err := f.SyncDir(dir); err != nil {
		return fmt.Errorf("sync log directory: %w", err)
	}
	return nil
}

// blankFile returns an open file of at least size zeros under the name tmp: the prepared one, if it is there and large
// enough.
func blankFile(f env.FS, dir, tmp string, size int64) (env.File, int64, error) {
	err := f.Rename(path.Join(dir, nextName), tmp)
	if err == nil {
		file, have, err := openBlank(f, tmp)
		if err != nil || have >= size {
			return file, have, err
		}
		if err := file.Close(); err != nil {
			return nil, 0, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, err
	}
	file, err := f.Create(tmp, size)
	if err != nil {
		return nil, 0, err
	}
	if err := file.Close(); err != nil {
		return nil, 0, err
	}
	return openBlank(f, tmp)
}

func openBlank(f env.FS, name string) (env.File, int64, error) {
	file, err := f.OpenDirect(name)
	if err != nil {
		return nil, 0, err
	}
	size, err := file.Size()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, size, nil
}

// PrepareSegment makes a blank segment file ahead of need, so that the append that fills the current one does not wait
// for it. It may run on another lane than the Log's: the file gets the name that the Log looks for in one step,
// complete. bytes is Config.SegmentBytes. Nothing happens if one is prepared already.
func PrepareSegment(f env.FS, dir string, bytes int64) error {
	cfg, err := Config{SegmentBytes: bytes}.validate()
	if err != nil {
		return fmt.Errorf("prepare log segment: %w", err)
	}
	next := path.Join(dir, nextName)
	if file, err := f.Open(next); err == nil {
		return file.Close()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("prepare log segment: %w", err)
	}
	tmp := path.Join(dir, "prepare"+tmpSuffix)
	file, err := f.Create(tmp, cfg.SegmentBytes)
	if err != nil {
		return fmt.Errorf("prepare log segment: %w", err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("prepare log segment: %w", err)
	}
	if err := f.Rename(tmp, next); err != nil {
		return fmt.Errorf("prepare log segment: %w", err)
	}
	return nil
}
