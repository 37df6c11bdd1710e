package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// putRow: each client puts to random keys.
func putRow(clients, valueBytes int) func(*turn) sample {
	return func(t *turn) sample {
		t.s.resize(valueBytes)
		defer t.s.resize(t.size.value)
		t.s.fill(t.ctx, t.h, t.size.keys)
		return t.drive(t.size.clients(clients), t.limit(valueBytes), t.puts)
	}
}

func (t *turn) puts(c client) call {
	request := t.s.put(t.s.key(0))
	return func(then func(error)) {
		request.setKey(c.rng.IntN(t.size.keys))
		c.conn.Call(putMethod, request, done{}, then)
	}
}

// maxPutBytes is what one measurement writes at most: large values would fill the disk.
const maxPutBytes = 512 << 20

// limit is how many puts of a size a measurement makes at most; 0 for those so small that time bounds them.
func (t *turn) limit(valueBytes int) int {
	if valueBytes <= 4<<10 {
		return 0
	}
	return maxPutBytes / valueBytes
}

// rangeRow: each client reads random keys, one at a time.
func rangeRow(clients int, serializable bool) func(*turn) sample {
	return func(t *turn) sample {
		t.s.fill(t.ctx, t.h, t.size.keys)
		return t.drive(t.size.clients(clients), 0, t.ranges(serializable))
	}
}

var errNoKey = errors.New("the answer does not hold the one key that was asked for")

func (t *turn) ranges(serializable bool) func(client) call {
	return func(c client) call {
		var r ranged
		request := encode(&pb.RangeRequest{Key: t.s.key(0), Serializable: serializable})
		return func(then func(error)) {
			request.setKey(c.rng.IntN(t.size.keys))
			c.conn.Call(rangeMethod, request, &r, func(err error) {
				if err == nil && r.keys != 1 {
					err = errNoKey
				}
				then(err)
			})
		}
	}
}

// mixedRow: nine of ten calls read a key, the others write one.
func mixedRow(clients int) func(*turn) sample {
	return func(t *turn) sample {
		t.s.fill(t.ctx, t.h, t.size.keys)
		return t.drive(t.size.clients(clients), 0, func(c client) call {
			put, get := t.puts(c), t.ranges(false)(c)
			return func(then func(error)) {
				if c.rng.IntN(10) == 0 {
					put(then)
				} else {
					get(then)
				}
			}
		})
	}
}

// txnRow: each client updates an object of its own as Kubernetes does: put if the revision is the one it saw last, else
// read.
func txnRow(clients int) func(*turn) sample {
	return func(t *turn) sample {
		return t.drive(t.size.clients(clients), 0, func(c client) call {
			key := fmt.Appendf(nil, "t%07d", c.number)
			compare := &pb.Compare{Target: pb.Compare_MOD, Key: key}
			put := &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: t.s.value}}
			read := &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}
			request := &pb.TxnRequest{
				Compare: []*pb.Compare{compare},
				Success: []*pb.RequestOp{{Request: put}},
				Failure: []*pb.RequestOp{{Request: read}},
			}
			seen, sure := int64(0), false // whether seen is the key's revision
			var r swapped
			learn := func(err error) error {
				if err != nil {
					sure = false // it may have taken effect
					return err
				}
				if !r.succeeded && (sure || r.found == 0) {
					return fmt.Errorf("%q has revision %d, and only this client writes it, last at %d", key, r.found, seen)
				}
				if seen, sure = r.found, true; r.succeeded {
					seen = r.revision
				}
				return nil
			}
			return func(then func(error)) {
				compare.TargetUnion = &pb.Compare_ModRevision{ModRevision: seen}
				c.conn.Call(txnMethod, encode(request), &r, func(err error) { then(learn(err)) })
			}
		})
	}
}

// scanClients is how many ranges over many keys run at once.
const scanClients = 20

// sampleInterval is how often memory is looked at; it is taken at an instant and has no event to wait for.
const sampleInterval = 10 * time.Millisecond

// scanRow: ranges over all of many keys, some at once, and the most memory that the nodes had meanwhile.
func scanRow(t *turn) sample {
	t.s.fill(t.ctx, t.h, t.size.keys)
	request := encode(&pb.RangeRequest{Key: t.s.key(0), RangeEnd: t.s.key(t.size.keys)})
	ctx, cancel := context.WithCancel(t.ctx)
	var peak, peakFile int64
	var failed once
	var watching sync.WaitGroup
	watching.Go(func() {
		ticks := time.NewTicker(sampleInterval)
		defer ticks.Stop()
		for ctx.Err() == nil {
			anonymous, file, err := t.s.memory()
			failed.set(err)
			peak, peakFile = max(peak, anonymous), max(peakFile, file)
			select {
			case <-ticks.C:
			case <-ctx.Done():
			}
		}
	})
	s := t.drive(t.size.clients(scanClients), 0, func(c client) call {
		var r ranged
		return func(then func(error)) {
			c.conn.Call(rangeMethod, request, &r, func(err error) {
				if err == nil && r.keys != t.size.keys {
					err = fmt.Errorf("the answer has %d keys, want %d", r.keys, t.size.keys)
				}
				then(err)
			})
		}
	})
	cancel()
	watching.Wait()
	if err := failed.get(); err != nil {
		t.h.Fatalf("memory of %s: %v", t.s.name, err)
	}
	bytes := float64(proto.Size(&pb.PutRequest{Key: t.s.key(0), Value: t.s.value})) * float64(t.size.keys)
	s[megabytes], s[memoryPeak], s[filePeak] = s[rate]*bytes/1e6, float64(peak), float64(peakFile)
	return s
}

// Names of figures of scans and of memory.
const (
	megabytes  = "MB per second"
	memoryPeak = "most memory"
	filePeak   = "most mapped file"
)
