package wal

// Seal writes a frame without content behind the last one. It needs no sync: if it survives, it proves that the frame
// before it was synced once, and tells where the log ended; if not, nothing is lost. It does nothing if the last frame
// is a seal, or was not synced and so has nothing to be proven.
func (l *Log) Seal(commit uint64) error {
	if err := l.usable(); err != nil {
		return err
	}
	if l.sealed {
		return nil
	}
	if cap(l.buf) > maxSealedBuffer {
		l.buf = nil
	}
	h, err := l.frame(Record{Commit: commit})
	if err != nil {
		return l.fail(err)
	}
	return l.appendHint(h, false)
}

// appendHint writes a seal, which carries the commit index, if there is room and a use for it. A hint is no reason to
// sync: sync only asks for what was written before.
func (l *Log) appendHint(h frameHeader, sync bool) error {
	if sync {
		if err := l.settle(); err != nil {
			return err
		}
	}
	useless := l.sealed && h.commit == l.hint
	if useless || l.unsynced || l.off+frameHeaderSize > l.size {
		return nil
	}
	h.prevCRC = l.chain
	l.buf = encodeFrame(l.buf[:0], l.crc.at(l.off), &h, nil, nil)
	if err := l.write(h, false); err != nil {
		return err
	}
	l.off += h.size()
	l.advance(h, Record{})
	return nil
}
