package raftnode

import (
	"testing"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// TestPendingReleasesRequests: an answered proposal stays in the table while an older one waits, its request does not.
func TestPendingReleasesRequests(t *testing.T) {
	var table pendingTable
	answers := 0
	add := func(counter uint64) *Proposal {
		p := &Proposal{
			Request: make([]byte, 100),
			Done:    func(apply.Response, error) { answers++ },
			id:      apply.RequestID{Counter: counter},
		}
		table.add(p)
		return p
	}
	oldest, next := add(1), add(2)
	table.finish(2, apply.Response{}, nil)
	table.finish(2, apply.Response{}, nil)
	if answers != 1 || table.len() != 1 || table.bytes != 100 || len(table.order) != 2 {
		t.Fatalf("%d answers, %d waiting with %d bytes, %d in order", answers, table.len(), table.bytes, len(table.order))
	}
	if next.Request != nil || oldest.Request == nil {
		t.Errorf("kept %d bytes of the answered request and %d of the other", len(next.Request), len(oldest.Request))
	}
	table.failAll(ErrStopped)
	if answers != 2 || table.len() != 0 || table.bytes != 0 || len(table.order) != 0 {
		t.Fatalf("%d answers, %d waiting with %d bytes, %d in order", answers, table.len(), table.bytes, len(table.order))
	}
}
