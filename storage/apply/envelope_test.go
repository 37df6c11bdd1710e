package apply

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

func TestBatchRoundTrip(t *testing.T) {
	batches := map[string][]Command{
		"none":  nil,
		"empty": {{}},
		"two": {
			{ID: RequestID{Member: 1, Epoch: 2, Counter: 3}, Request: []byte("a")},
			{ID: RequestID{Member: math.MaxUint64, Epoch: math.MaxUint64, Counter: math.MaxUint64}, Term: math.MaxUint64},
		},
		"large": {{Request: bytes.Repeat([]byte("x"), 70_000)}, {Request: []byte("y")}},
	}
	for name, cmds := range batches {
		data := EncodeBatch(cmds)
		if allocs := testing.AllocsPerRun(10, func() { EncodeBatch(cmds) }); allocs != 1 {
			t.Errorf("%s: encoded with %v allocations: the size was wrong", name, allocs)
		}
		got, err := DecodeBatch(data)
		if err != nil || !equalCommands(got, cmds) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestDecodeBatchRefuses(t *testing.T) {
	good := EncodeBatch([]Command{{ID: RequestID{1, 2, 3}, Request: []byte("abc")}, {ID: RequestID{1, 2, 4}}})
	if _, err := DecodeBatch(append([]byte{envelopeVersion + 1}, good[1:]...)); !errors.Is(err, ErrEnvelopeVersion) {
		t.Errorf("another version: %v", err)
	}
	for n := range good {
		if _, err := DecodeBatch(good[:n]); !errors.Is(err, ErrMalformedEnvelope) {
			t.Errorf("cut to %d of %d bytes: %v", n, len(good), err)
		}
	}
	if _, err := DecodeBatch(append(bytes.Clone(good), 0)); !errors.Is(err, ErrMalformedEnvelope) {
		t.Errorf("one byte too many: %v", err)
	}
	forged := []byte{envelopeVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	if _, err := DecodeBatch(forged); !errors.Is(err, ErrMalformedEnvelope) {
		t.Errorf("forged count: %v", err)
	}
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add([]byte{})
	f.Add(EncodeBatch(nil))
	f.Add(EncodeBatch([]Command{{ID: RequestID{1, 2, 3}, Request: []byte("abc")}, {ID: RequestID{1 << 63, 300, 1 << 20}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		cmds, err := DecodeBatch(data)
		if err != nil {
			return
		}
		again, err := DecodeBatch(EncodeBatch(cmds))
		if err != nil || !equalCommands(again, cmds) {
			t.Fatalf("%v became %v, %v", cmds, again, err)
		}
	})
}

func equalCommands(a, b []Command) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID || a[i].Term != b[i].Term || !bytes.Equal(a[i].Request, b[i].Request) {
			return false
		}
	}
	return true
}
