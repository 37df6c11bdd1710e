package server

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/quorumkv/quorumkv/raftnode"
)

// One character is one tenth of an election timeout: L with a leader, . without. Below it what follows: S serving,
// _ not; ! streams are cancelled.
func TestTenure(t *testing.T) {
	for name, tc := range map[string][2]string{
		"leader from the start": {"LLLL", "SSSS"},
		"first leader at once":  {"....LL", "____SS"},
		"short gap":             {"LL.........LL", "SSSSSSSSSSSSS"},
		"gap of one timeout":    {"L...........LLLLLLLLLLL", "SSSSSSSSSSS___________S"},
		"flapping stays down":   {"L...........LLLLL..LLLLLLLLL.LLLLLLLLLLL", "SSSSSSSSSSS____________________________S"},
		"flapping stays up":     {"LL.....L.........L........LL", "SSSSSSSSSSSSSSSSSSSSSSSSSSSS"},
		"streams after three":   {"L" + strings.Repeat(".", 33) + "L", "SSSSSSSSSSS" + strings.Repeat("_", 20) + "!!!_"},
		"never a leader":        {strings.Repeat(".", 32), strings.Repeat("_", 30) + "!!"},
		"a blink resets patience": {"L" + strings.Repeat(".", 29) + "L" + strings.Repeat(".", 29),
			"SSSSSSSSSSS" + strings.Repeat("_", 49)},
	} {
		t.Run(name, func(t *testing.T) {
			tr := tenure{election: 10}
			var got strings.Builder
			for i, c := range tc[0] {
				serving, abandoned := tr.observe(time.Duration(1000+i), c == 'L')
				switch {
				case abandoned:
					got.WriteByte('!')
				case serving:
					got.WriteByte('S')
				default:
					got.WriteByte('_')
				}
			}
			if got.String() != tc[1] {
				t.Errorf("\nleader %s\ngot    %s\nwant   %s", tc[0], got.String(), tc[1])
			}
		})
	}
}

// fakeLeader is a node of which only the status is asked.
type fakeLeader struct {
	node
	leader atomic.Uint64
}

func (f *fakeLeader) Status() raftnode.Status { return raftnode.Status{Leader: f.leader.Load()} }

func TestLeadershipRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeLeader{}
		l := newLeadership(n, time.Second)
		start := time.Now()
		var events []string
		l.serving = func(serving bool) { events = append(events, fmt.Sprint(time.Since(start), " ", serving)) }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.Run(ctx); close(done) }()

		stream, detach := l.attach(ctx)
		defer detach()
		other, leave := l.attach(ctx)
		leave()
		wait := func(d time.Duration, leader uint64) {
			time.Sleep(d)
			synctest.Wait()
			n.leader.Store(leader)
		}
		wait(150*time.Millisecond, 1)
		wait(time.Second, 0)
		wait(2500*time.Millisecond, 0)
		if stream.Err() != nil {
			t.Errorf("stream cancelled after 2.5 s of 3 s: %v", context.Cause(stream))
		}
		<-stream.Done()
		if got := time.Since(start); got != 4200*time.Millisecond {
			t.Errorf("stream cancelled at %s, want 4.2s", got)
		}
		if context.Cause(stream) != rpctypes.ErrGRPCNoLeader || context.Cause(other) == rpctypes.ErrGRPCNoLeader {
			t.Errorf("causes %v and, of the detached, %v", context.Cause(stream), context.Cause(other))
		}
		wait(50*time.Millisecond, 1)
		wait(2*time.Second, 1)
		cancel()
		<-done
		want := "[200ms true 2.2s false 5.3s true 6.25s false]"
		if got := fmt.Sprint(events); got != want {
			t.Errorf("health %s, want %s", got, want)
		}
	})
}
