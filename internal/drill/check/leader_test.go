package check

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hashicorp/go-hclog"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// Both forms of a log are read, as the server's logger writes them.
func TestLeaders(t *testing.T) {
	for _, json := range []bool{false, true} {
		var b bytes.Buffer
		root := hclog.New(&hclog.LoggerOptions{Name: "quorumkv", Level: hclog.Debug, Output: &b, JSONFormat: json})
		node := root.Named("raftnode")
		root.Info("starting", "version", "1", "term", 9)
		node.Info("leader", "leader-id", "470448cf044bdd4c", "term", uint64(5))
		node.Info("leader lost", "leader-id", "470448cf044bdd4c", "term", uint64(6))
		node.Named("raft").Debug("1b became leader at term 7")
		node.Named("raft").Debug("1b became follower at term 8")
		node.Warn("transfer", "reason", "leader: leader-id=1 term=2", "leader-id", "3")
		b.WriteString("panic: something else\n\n{half of\n")
		node.Info("leader", "leader-id", "2c", "term", uint64(123))
		want := []history.Claim{{Leader: 0x470448cf044bdd4c, Term: 5}, {Leader: 0x1b, Term: 7}, {Leader: 0x2c, Term: 123}}
		got, err := Leaders(&b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("json %v: %v, %v, want %v", json, got, err, want)
		}
	}
}

// A log that is being written ends anywhere: half a term is no term.
func TestLeadersCutOff(t *testing.T) {
	line := "2026-11-26T03:49:31.976Z [INFO]  quorumkv.raftnode: leader: leader-id=2c term=123\n"
	for n := range len(line) {
		if got, err := Leaders(strings.NewReader(line[:n])); len(got) > 0 || err != nil {
			t.Fatalf("%q: %v, %v", line[:n], got, err)
		}
	}
	if got, _ := Leaders(strings.NewReader(line)); len(got) != 1 {
		t.Errorf("%q: %v", line, got)
	}
	broken := errors.New("broken")
	got, err := Leaders(io.MultiReader(strings.NewReader(line), iotest.ErrReader(broken)))
	if len(got) != 1 || !errors.Is(err, broken) {
		t.Errorf("%v, %v", got, err)
	}
}
