package drills

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/quorumkv/quorumkv/internal/drill/planted"
	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestPlantedBugs is the short form of `make zoo`, which tries the other bugs too.
func TestPlantedBugs(t *testing.T) {
	for _, name := range []string{"acknowledge-before-commit", "minority-reads", "dropped-watch-event", "apply-twice"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := planted.Find(name)
			if err != nil {
				t.Fatal(err)
			}
			server, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(filepath.Dir(server))
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			f, err := b.Hunt(ctx, cluster.Quorumctl(t), server, reportDir(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Judge(f); err != nil {
				t.Errorf("%s: %v", b.What, err)
			}
		})
	}
}
