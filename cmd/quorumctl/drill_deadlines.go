package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/fault"
)

// deadlines is a cluster that remembers until when its members' fault rules hold, for one who leaves without healing.
type deadlines struct {
	drill.Cluster

	mu    sync.Mutex
	until map[int]time.Time // by member, under mu; at the latest
}

func newDeadlines(c drill.Cluster) *deadlines {
	return &deadlines{Cluster: c, until: map[int]time.Time{}}
}

// SetFaults implements drill.Cluster.
func (d *deadlines) SetFaults(ctx context.Context, i int, rules fault.Rules, ttl time.Duration) error {
	if rules.Empty() {
		err := d.Cluster.SetFaults(ctx, i, rules, ttl)
		if err == nil {
			d.mu.Lock()
			delete(d.until, i)
			d.mu.Unlock()
		}
		return err
	}
	// The rules may hold before the answer comes, and when none comes; and as late as that from then on.
	d.set(i, ttl)
	err := d.Cluster.SetFaults(ctx, i, rules, ttl)
	d.set(i, ttl)
	return err
}

func (d *deadlines) set(i int, ttl time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until[i] = time.Now().Add(ttl)
}

// text says when the rules end that may hold now.
func (d *deadlines) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	var last time.Time
	for _, i := range slices.Sorted(maps.Keys(d.until)) {
		if left := d.until[i]; left.After(time.Now()) {
			names = append(names, d.Members()[i].Name)
			if left.After(last) {
				last = left
			}
		}
	}
	if names == nil {
		return "no fault rules hold"
	}
	return fmt.Sprintf("the fault rules of %s end by themselves within %v, at %s", strings.Join(names, ", "),
		time.Until(last).Round(time.Second), last.Format(time.TimeOnly))
}
