// Command planted runs drills on servers with bugs in them, to see whether they find them.
//
//	go run ./internal/drill/cmd/planted                        all bugs
//	go run ./internal/drill/cmd/planted -bug minority-reads    one
//
// A bug is found when its drill calls the cluster's promise broken that the bug breaks, names the operations, and exits 1,
// and when the same drill finds nothing wrong with the server as it is. The exit code is 1 when a bug is not found.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/planted"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// huntLimit is far beyond what a drill takes.
const huntLimit = 3 * time.Minute

func main() {
	name := flag.String("bug", "", "run this bug only")
	keep := flag.String("reports", "", "keep the drills' reports in this folder, which is made")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: planted [-bug NAME] [-reports FOLDER]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	missed, err := visit(ctx, *name, *keep)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "planted:", err)
		os.Exit(2)
	case missed > 0:
		fmt.Printf("%d bugs not found\n", missed)
		os.Exit(1)
	}
}

func visit(ctx context.Context, name, keep string) (missed int, err error) {
	bugs := planted.All()
	if name != "" {
		b, err := planted.Find(name)
		if err != nil {
			return 0, err
		}
		bugs = []planted.Bug{b}
	}
	v := visitor{reports: keep, sound: map[string]error{}}
	if keep == "" {
		if v.reports, err = os.MkdirTemp("", "planted-"); err != nil {
			return 0, err
		}
		defer os.RemoveAll(v.reports)
	}
	for _, build := range []struct {
		of func() (string, error)
		to *string
	}{{planted.Quorumctl, &v.quorumctl}, {planted.Healthy, &v.healthy}} {
		if *build.to, err = build.of(); err != nil {
			return 0, err
		}
		defer os.RemoveAll(filepath.Dir(*build.to))
	}
	for _, b := range bugs {
		found, err := v.visit(ctx, b)
		if err != nil {
			return 0, fmt.Errorf("bug %s: %w", b.Name, err)
		}
		if !found {
			missed++
		}
	}
	return missed, nil
}

// visitor runs the drills.
type visitor struct {
	quorumctl, healthy string
	reports            string
	// sound is what the drills, by their arguments, said of the server as it is: nil for nothing wrong.
	sound map[string]error
}

func (v *visitor) visit(ctx context.Context, b planted.Bug) (found bool, err error) {
	server, err := b.Build()
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(filepath.Dir(server))
	start := time.Now()
	f, err := v.hunt(ctx, b, server, b.Name)
	if err != nil {
		return false, err
	}
	took := time.Since(start).Round(100 * time.Millisecond)
	lacks := b.Judge(f)
	if lacks == nil {
		if lacks, err = v.soundWithout(ctx, b); err != nil {
			return false, err
		}
	}
	if lacks != nil {
		fmt.Printf("%s: NOT FOUND by %s after %v: %v\n    %s\n", b.Name, strings.Join(b.Drill, " "), took, lacks, b.What)
		return false, nil
	}
	shown := b.Violation(f)
	fmt.Printf("%s: found by %s after %v, %d operations named: %s: %s\n", b.Name, b.Drill[0], took, len(shown.Ops),
		shown.Promise, shown.Text)
	return true, nil
}

// soundWithout says what the drill finds wrong with the server as it is. A missed mark is nothing wrong: the machine may be
// slow.
func (v *visitor) soundWithout(ctx context.Context, b planted.Bug) (wrong, err error) {
	drill := strings.Join(b.Drill, " ")
	if wrong, known := v.sound[drill]; known {
		return wrong, nil
	}
	f, err := v.hunt(ctx, b, v.healthy, "without-"+b.Name)
	if err != nil {
		return nil, err
	}
	if f.Report.Verdict != report.Passed && f.Report.Verdict != report.Missed {
		wrong = fmt.Errorf("the drill calls the server without the bug %q: %s", f.Report.Verdict, f.Report.Summary)
	}
	v.sound[drill] = wrong
	return wrong, nil
}

func (v *visitor) hunt(ctx context.Context, b planted.Bug, server, name string) (planted.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, huntLimit)
	defer cancel()
	return b.Hunt(ctx, v.quorumctl, server, filepath.Join(v.reports, name))
}
