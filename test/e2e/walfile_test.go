package e2e

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// walFile is one segment as it lies on disk, read by a second, independent reader: it knows where frames begin and end
// (the byte tables in package wal) and checks nothing.
type walFile struct {
	path   string
	size   int64
	frames []walFrame
	end    int64 // of the last frame; zeros follow
}

type walFrame struct {
	offset, size int64
	kind         byte   // 'e' entries, 'r' reset, 's' seal
	first, last  uint64 // entries; last < first when there are none
}

const walFrameHeader = 56

// readWAL reads a node's segments, oldest first.
func readWAL(t *testing.T, n *cluster.Node) []walFile {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(n.Dir, "wal", "*.log"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("find wal segments of %s: %v (%d files)", n.Name, err, len(paths))
	}
	slices.Sort(paths)
	var files []walFile
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, parseWAL(t, path, data))
	}
	return files
}

func parseWAL(t *testing.T, path string, data []byte) walFile {
	t.Helper()
	if len(data) < 512 || string(data[:6]) != "QKVWAL" {
		t.Fatalf("%s is no wal segment", path)
	}
	header := int64(88)
	if c := int64(binary.LittleEndian.Uint32(data[84:])); c > 0 {
		header += c - 1
	}
	f := walFile{path: path, size: int64(len(data)), end: (header + 511) / 512 * 512}
	for f.end+walFrameHeader <= f.size && string(data[f.end:f.end+3]) == "QKV" {
		h := data[f.end:]
		payload := int64(binary.LittleEndian.Uint32(h[4:]))
		frame := walFrame{offset: f.end, kind: h[3], size: (walFrameHeader + payload + 7) / 8 * 8}
		frame.first = binary.LittleEndian.Uint64(h[16:])
		frame.last = frame.first + uint64(binary.LittleEndian.Uint32(h[40:])) - 1
		f.frames = append(f.frames, frame)
		f.end += frame.size
	}
	return f
}
