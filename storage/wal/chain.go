package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/quorumkv/quorumkv/internal/env"
)

// directory is the content of a log directory, by what it is for.
type directory struct {
	// numbers of all segment files, ascending.
	numbers []uint64
	// litter is what an interrupted creation left, complete names.
	litter []string
}

func readDirectory(f env.FS, dir string) (directory, error) {
	var d directory
	names, err := f.List(dir)
	if err != nil {
		return d, fmt.Errorf("list log directory: %w", err)
	}
	for _, name := range names {
		if n, ok := parseSegmentName(name); ok {
			d.numbers = append(d.numbers, n)
		} else if strings.HasSuffix(name, tmpSuffix) && name != nextName {
			d.litter = append(d.litter, dir+"/"+name)
		}
	}
	return d, nil
}

// errNoSegments says that the directory holds no log. It matches fs.ErrNotExist.
var errNoSegments = fmt.Errorf("no log segments: %w", fs.ErrNotExist)

// link is a place in the chain of segments, found by following Prev from the newest one.
type link struct {
	segment
	bytes int64 // the file's size
	// broken says why the segment cannot be read: its header is damaged or its file is missing.
	broken string
}

// chain follows the segments from the newest back to the oldest, and returns them oldest first, and those that have no
// place in it: boots that added nothing were replaced by the next one, which took over their predecessor.
//
// By W5 the chain may end at a segment whose predecessor is gone only if nothing older exists. A gap in the middle
// becomes a broken link, so that replay can say which entries are behind it.
func (d directory) chain(f env.FS, dir string, cfg Config, w *window) (links []link, replaced []uint64, err error) {
	rest := slices.Clone(d.numbers)
	for len(rest) > 0 {
		l, err := readLink(f, dir, cfg, w, rest[len(rest)-1])
		if err != nil {
			return nil, nil, err
		}
		rest = rest[:len(rest)-1]
		links = append(links, l)
		if l.broken != "" {
			continue // without its header, the next lower number must be the predecessor
		}
		prev := l.header.prev
		for len(rest) > 0 && rest[len(rest)-1] > prev {
			replaced = append(replaced, rest[len(rest)-1])
			rest = rest[:len(rest)-1]
		}
		if len(rest) > 0 && rest[len(rest)-1] != prev {
			links = append(links, link{
				segment: segment{number: prev, name: segmentName(dir, prev)},
				broken:  fmt.Sprintf("the file is missing, although older ones exist and segment %d follows it", l.number),
			})
		}
	}
	if w.failed && !w.read {
		return nil, nil, fmt.Errorf("read the headers of %d log segments in %s: %w: nothing can be read there, look at the device",
			len(d.numbers), dir, env.ErrUnreadable)
	}
	slices.Reverse(links)
	return links, replaced, nil
}

// readLink reads a segment's header.
func readLink(f env.FS, dir string, cfg Config, w *window, number uint64) (link, error) {
	l := link{segment: segment{number: number, name: segmentName(dir, number)}}
	file, err := f.OpenDirect(l.name)
	if errors.Is(err, env.ErrUnreadable) {
		w.failed = true
		l.broken = err.Error()
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("open log segment: %w", err)
	}
	b, err := readHeader(file, w)
	if err := errors.Join(err, file.Close()); err != nil {
		return l, fmt.Errorf("read header of %s: %w", l.name, err)
	}
	l.bytes = w.size
	l.header, l.start, err = decodeSegmentHeader(b, newSegmentCRC(cfg.Seed, number))
	switch {
	case err != nil:
		l.broken = err.Error()
	case l.header.number != number:
		l.broken = fmt.Sprintf("its header says that it is segment %d", l.header.number)
	}
	return l, nil
}

func readHeader(file env.File, w *window) ([]byte, error) {
	if err := w.open(file); err != nil {
		return nil, err
	}
	return w.peek(0, segmentFixedSize+maxConfBytes)
}
