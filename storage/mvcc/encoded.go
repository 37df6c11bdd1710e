package mvcc

import "go.etcd.io/etcd/api/v3/mvccpb"

// encodedRows is how many rows of an encoded range are read at a time: few enough to take little memory beside the answer.
const encodedRows = 512

// RangeEncoded is Range for an answer that only goes to a client. Each pair is given as proto.Marshal encodes it, which is how
// bbolt holds it. place returns the room for the next one, of that size, in the order of the keys; all of it is filled when
// RangeEncoded returns. After an error there is no saying what is in it.
func (v *View) RangeEncoded(key, end []byte, o RangeOptions, place func(size int) []byte) (count int, err error) {
	e := encoding{r: &v.reader, place: place}
	if count, err = v.walk(key, end, o, e.add); err == nil {
		e.fill()
		err = e.err
	}
	return count, v.rangeError(o, err)
}

// encoding is a range on its way to the places of its pairs.
type encoding struct {
	r     *reader
	place func(size int) []byte
	// rows are to be read from bbolt, each to its place.
	rows   []coldRow
	places []encodedPlace
	size   int
	err    error // the first
}

type encodedPlace struct {
	value    []byte
	checksum [checksumBytes]byte // what the row has behind it
}

// add gives the pair of a row its place.
func (e *encoding) add(key string, w row) {
	switch {
	case e.err != nil:
	case w.main > e.r.base:
		kv := e.r.recent(w)
		AppendKeyValue(e.place(KeyValueSize(kv))[:0], kv)
	default:
		if len(e.rows) == encodedRows || len(e.rows) > 0 && e.size+w.bytes() > sliceBytes {
			e.fill()
		}
		e.size += w.bytes()
		e.rows = append(e.rows, coldRow{row: w, key: key, to: len(e.places)})
		e.places = append(e.places, encodedPlace{value: e.place(w.bytes() - revisionBytes - checksumBytes)})
	}
}

// fill reads the rows that wait. Like those of a Range they are looked at once bbolt's transaction has ended.
func (e *encoding) fill() {
	if e.err != nil || len(e.rows) == 0 {
		return
	}
	e.err = e.r.stored(e.rows, func(w *coldRow, _, v []byte) {
		p := &e.places[w.to]
		copy(p.checksum[:], v[copy(p.value, v):])
	})
	var rowKey []byte
	var kv mvccpb.KeyValue
	for i := range e.rows {
		if e.err != nil {
			return
		}
		w, p := &e.rows[i], &e.places[i]
		rowKey = appendRevisionKey(rowKey[:0], w.revision(), false)
		if e.err = verifyRow(rowKey, p.value, p.checksum[:]); e.err == nil {
			kv.Reset()
			e.err = w.decode(p.value, &kv)
		}
	}
	e.rows, e.places, e.size = e.rows[:0], e.places[:0], 0
}
