package env

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// directFile goes past the page cache: what is read at a start, if ever, needs no memory, and no copy there. It is for a file
// of zeros that is filled in ascending order, so that the rest of the last block needs not be read.
type directFile struct {
	osFile // everything else
	past   *os.File
	end    int64  // of what was written; zeros follow
	buf    []byte // aligned; begins with the block that end is in; nil before the first write
}

// fillDirect fills a file of that size with zeros, unless it says that this is to be done another way.
func fillDirect(file *os.File, size int64) (done bool, err error) {
	d, err := openDirect(file)
	if d == nil || err != nil {
		return false, err
	}
	for off := int64(0); off < size && err == nil; {
		n := 0
		n, err = d.past.WriteAt(zeros[:min(size-off, directChunk)], off)
		off += int64(n)
	}
	if err = errors.Join(err, d.past.Close()); notDirectly(err) {
		return false, nil
	}
	return err == nil, err
}

// notDirectly tells whether a file system takes no direct writes, or none of such blocks.
func notDirectly(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EOPNOTSUPP)
}

// openDirect is nil if the file, its file system or its size do not allow direct writes.
func openDirect(file *os.File) (*directFile, error) {
	st, err := file.Stat()
	if err != nil || st.Size() < directLeast || st.Size()%directBlock != 0 {
		return nil, err
	}
	past, err := os.OpenFile(file.Name(), os.O_RDWR|unix.O_DIRECT, 0)
	if notDirectly(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &directFile{osFile: osFile{file}, past: past}, nil
}

// ReadAt goes through memory for what is not in whole blocks.
func (f *directFile) ReadAt(p []byte, off int64) (int, error) {
	if f.past == nil || off%directBlock != 0 || !alignedTo(p, directBlock) {
		return f.osFile.ReadAt(p, off)
	}
	n, err := f.past.ReadAt(p, off)
	if notDirectly(err) && n == 0 {
		return f.osFile.ReadAt(p, off)
	}
	return n, unreadable(err)
}

// WriteAt writes whole blocks. The first holds what was written to it before, the last ends with zeros.
func (f *directFile) WriteAt(p []byte, off int64) (n int, err error) {
	if f.past == nil || off != f.end {
		return f.writeThrough(p, off)
	}
	for n < len(p) && err == nil {
		k := 0
		k, err = f.writeBlocks(p[n:min(len(p), n+directChunk)])
		n += k
	}
	if notDirectly(err) && n == 0 {
		return f.writeThrough(p, off) // larger blocks than ours, or none
	}
	if err != nil && n == 0 {
		err = noSpace(err)
	}
	return n, err
}

func (f *directFile) writeBlocks(p []byte) (int, error) {
	head := int(f.end % directBlock)
	length := (head + len(p) + directBlock - 1) &^ (directBlock - 1)
	if length > len(f.buf) || length == directBlock && len(f.buf) > directIdle {
		fitting := alignedBuffer(max(length, min(2*length, directChunk+directBlock)))
		copy(fitting, f.buf[:head])
		f.buf = fitting
	}
	clear(f.buf[head+copy(f.buf[head:], p) : length])
	if n, err := f.past.WriteAt(f.buf[:length], f.end-int64(head)); err != nil {
		return min(max(n-head, 0), len(p)), err
	}
	f.end += int64(len(p))
	if last := length - directBlock; f.end%directBlock != 0 {
		copy(f.buf, f.buf[last:length])
	}
	return len(p), nil
}

// writeThrough ends direct writing: what the blocks hold is not known any more.
func (f *directFile) writeThrough(p []byte, off int64) (int, error) {
	if f.past != nil {
		if err := f.past.Close(); err != nil {
			return 0, err
		}
		f.past = nil
	}
	return f.osFile.WriteAt(p, off)
}

func (f *directFile) Close() error {
	if f.past == nil {
		return f.osFile.Close()
	}
	return errors.Join(f.past.Close(), f.osFile.Close())
}
