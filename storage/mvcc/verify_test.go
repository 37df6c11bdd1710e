package mvcc

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// TestVerifyRows names each damaged row, and those alone.
func TestVerifyRows(t *testing.T) {
	r := newRig(t)
	values := []string{"the first value", "the second value", "the third value", "the fourth value"}
	for _, v := range values {
		r.put("key", v)
	}
	r.flush()
	verify := func() (bad []error, rows int) {
		if err := VerifyRows(r.db, func(err error) { bad = append(bad, err) }, func(int) { rows++ }); err != nil {
			t.Fatal(err)
		}
		return bad, rows
	}
	if bad, rows := verify(); len(bad) != 0 || rows != 4 {
		t.Fatalf("sound: %v in %d rows", bad, rows)
	}
	content, err := os.ReadFile(r.file())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values[1:3] {
		r.xor(bytes.LastIndex(content, []byte(v)), 1)
	}
	bad, rows := verify()
	if len(bad) != 2 || rows != 4 || !errors.Is(bad[0], backend.ErrDamaged) {
		t.Errorf("two damaged: %v in %d rows", bad, rows)
	}
}
