package main

import (
	"bytes"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestSetKey(t *testing.T) {
	s := &system{value: bytes.Repeat([]byte("v"), 1000)}
	get := func(number int) encoded { return encode(&pb.RangeRequest{Key: s.key(number), Serializable: true}) }
	put := func(number int) encoded { return s.put(s.key(number)) }
	for _, number := range []int{0, 7, 10_203_040, 99_999_999} {
		for name, request := range map[string]func(int) encoded{"range": get, "put": put} {
			got := request(55_555_555)
			if got.setKey(number); !bytes.Equal(got, request(number)) {
				t.Errorf("%s of %d: %.20q", name, number, got)
			}
		}
	}
	if got := s.key(42); len(got) != keyBytes {
		t.Errorf("key %q has not %d bytes", got, keyBytes)
	}
}
