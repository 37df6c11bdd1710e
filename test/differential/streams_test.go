package differential

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/test/cluster"
)

const (
	actsEnv     = "QUORUMKV_DIFFERENTIAL_ACTS"
	defaultActs = 2000
	shortActs   = 400
	fullActs    = 2000 // so many acts meet every wanted kind
	historyActs = 300
	extraActs   = 3000 // for what chance left out
)

// progressFlag makes servers tell their progress often.
const progressFlag = "--watch-progress-notify-interval=100ms"

// TestStreams runs random histories of requests and watches against etcd and the server under test.
func TestStreams(t *testing.T) {
	acts := int(setting(t, actsEnv, defaultActs))
	if testing.Short() {
		acts = min(acts, shortActs)
	}
	seed := setting(t, seedEnv, rand.Uint64())
	var soak time.Duration
	if text := os.Getenv(soakEnv); text != "" {
		var err error
		if soak, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", soakEnv, err)
		}
	}
	t.Logf("repeat with: %s=%d %s=%d go test -count=1 -run '^TestStreams$' ./differential", seedEnv, seed, actsEnv, acts)
	stage := newStage(t)
	begin := time.Now()
	done := 0
	for n := uint64(0); done < acts || time.Since(begin) < soak ||
		done >= fullActs && done < acts+extraActs && len(stage.counts.missingOfStreams()) > 0; n++ {
		length := historyActs
		if soak == 0 && done < acts {
			length = min(length, acts-done)
		}
		played, base, err := stage.random(seed+n, length)
		done += len(played)
		if err == nil {
			continue
		}
		t.Errorf("history %d: %v", n, err)
		t.Errorf("as it was: %s=%d %s=%d go test -count=1 -run '^TestStreams$' ./differential", seedEnv, seed+n, actsEnv, length)
		shorter, base, err := stage.shrink(played, base, shrinkBudget)
		if err == nil {
			t.Errorf("it did not come back when it was repeated: it depends on timing. The history was:\n%s",
				printActs(played, base))
			return
		}
		text := printActs(shorter, base)
		path := filepath.Join("testdata", "streams", fmt.Sprintf("failed-%d.txt", seed+n))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
		t.Errorf("shrunk from %d to %d acts, left in %s:\n%s\n%v\nreplay: go test -count=1 -run TestReplayStreams/%s ./differential",
			len(played), len(shorter), path, text, err, filepath.Base(path))
		return
	}
	t.Logf("%d acts in %v, %d events to watchers of etcd, %d to the others", done, time.Since(begin).Round(time.Second/10),
		stage.counts["events etcd"], stage.counts["events "+stage.got.name])
	t.Logf("decisions, and how often an exception was made:\n%s", streamExceptions(stage.exceptions))
	t.Logf("kinds of acts and answers:\n%s", stage.counts)
	if missing := stage.counts.missingOfStreams(); done >= fullActs && len(missing) > 0 {
		t.Errorf("never met: %q", missing)
	}
}

// TestReplayStreams runs the scripts of testdata/streams: those that failed runs of TestStreams left, and some by hand.
func TestReplayStreams(t *testing.T) {
	files, err := filepath.Glob("testdata/streams/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("find scripts: %v (%d files)", err, len(files))
	}
	stage := newStage(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := stage.replay(string(text)); err != nil {
				t.Error(err)
			}
		})
	}
}

// stage is where histories with streams are played: an etcd and the server under test.
type stage struct {
	pair       *pair
	want, got  *side
	counts     coverage
	exceptions exceptions
	patience   time.Duration
}

func newStage(t *testing.T) *stage {
	t.Helper()
	want := start(t, cluster.Config{Nodes: 1, Program: cluster.Etcd(t), Flags: append([]string{progressFlag}, etcdFlags...)})
	flags := []string{progressFlag}
	if cluster.Server(t).IsEtcd() {
		flags = append(flags, etcdFlags...)
	}
	got := start(t, cluster.Config{Nodes: 3, Flags: flags})
	return newStageOf(want, got)
}

func newStageOf(want, got *processes) *stage {
	s := &stage{pair: newPair(want, got), counts: coverage{}, exceptions: exceptions{}, patience: patience}
	s.want = &side{processes: want, name: "etcd", drops: true}
	s.got = &side{processes: got, name: got.Program.Name, drops: got.Program.IsEtcd()}
	if s.got.name == s.want.name {
		s.got.name = "etcd under test"
	}
	s.pair.leases, s.pair.etcd = true, got.Program.IsEtcd()
	return s
}

// run plays acts on emptied stores. It returns those that were played, the last of which is the one that failed, and the
// revision they began at.
func (s *stage) run(acts func(*state) ([]act, error)) (played []act, base int64, err error) {
	at := s.pair.begin()
	pl, err := newPlay(s.pair, at, s.want, s.got, s.counts, s.patience)
	if err != nil {
		return nil, at.base, err
	}
	defer pl.end()
	defer func() {
		for row, n := range pl.exceptions {
			s.exceptions[row] += n
		}
	}()
	next, err := acts(at)
	for ; err == nil && len(next) > 0; next, err = acts(at) {
		for _, a := range next {
			a.calls = slices.DeleteFunc(slices.Clone(a.calls), func(c call) bool { return exceptions{}.skipped(at, c.request) })
			played = append(played, a)
			if err := pl.do(a); err != nil {
				return played, at.base, err
			}
		}
	}
	if err != nil {
		return played, at.base, err
	}
	return played, at.base, pl.quiet()
}

// replay plays a history from its text.
func (s *stage) replay(text string) ([]act, int64, error) {
	read := false
	return s.run(func(at *state) ([]act, error) {
		if read {
			return nil, nil
		}
		read = true
		return parseActs(text, at.base)
	})
}

// random plays a random history.
func (s *stage) random(seed uint64, length int) ([]act, int64, error) {
	rng := rand.New(rand.NewPCG(seed, 0))
	sent := 0
	return s.run(func(at *state) ([]act, error) {
		if sent >= length {
			return nil, nil
		}
		g := &generator{state: at, rng: rng, leases: true}
		g.skipped = func(request any) bool { return s.pair.exceptions.skipped(at, request) }
		acts := g.act()
		sent += len(acts)
		return acts, nil
	})
}

// shrink leaves out parts of a history as long as it still fails.
func (s *stage) shrink(acts []act, base int64, budget time.Duration) (shortest []act, newBase int64, err error) {
	until := time.Now().Add(budget)
	s.patience = min(s.patience, 3*time.Second)
	again := func(acts []act) bool {
		played, at, failed := s.replay(printActs(acts, base))
		if failed != nil {
			shortest, newBase, base, err = played, at, at, failed
		}
		return failed != nil
	}
	if !again(acts) && !again(acts) {
		return acts, base, nil
	}
	for n := len(shortest) / 2; n > 0; n /= 2 {
		for from := len(shortest) - n; from >= 0 && time.Now().Before(until); from -= n {
			from = min(from, len(shortest)-n)
			if from >= 0 {
				again(slices.Concat(shortest[:from:from], shortest[from+n:]))
			}
		}
	}
	return shortest, newBase, err
}

// TestActScript prints generated acts and reads them back.
func TestActScript(t *testing.T) {
	seed := setting(t, seedEnv, rand.Uint64())
	t.Logf("repeat with: %s=%d go test -count=1 -run TestActScript ./differential", seedEnv, seed)
	s := &state{revision: 1000, base: 900, compacted: 950, asked: map[int64]bool{}}
	g := &generator{state: s, rng: rand.New(rand.NewPCG(seed, 0)), leases: true, skipped: func(any) bool { return false }}
	for range 2000 {
		for _, a := range g.act() {
			text := printActs([]act{a}, s.base)
			back, err := parseActs(text, s.base)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if again := printActs(back, s.base); again != text {
				t.Fatalf("%s\nis read as\n%s", text, again)
			}
			if r, ok := a.message.(*pb.WatchCreateRequest); ok {
				slices.Sort(r.Filters)
				if !proto.Equal(r, back[0].message) {
					t.Fatalf("%s\n%v\nis read as\n%v", text, r, back[0].message)
				}
			}
		}
	}
}
