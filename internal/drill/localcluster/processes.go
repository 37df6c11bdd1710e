package localcluster

import (
	"errors"
	"fmt"
	"time"

	"github.com/quorumkv/quorumkv/internal/local"
)

// stopLimit is how long a member may take to stop in good order.
const stopLimit = 15 * time.Second

// processes implements drill.Processes.
type processes struct{ nodes []*local.Node }

func (p processes) Kill(i int) error     { return p.nodes[i].Kill() }
func (p processes) Start(i int) error    { return p.nodes[i].Start() }
func (p processes) Pause(i int) error    { return p.nodes[i].Pause() }
func (p processes) Continue(i int) error { return p.nodes[i].Continue() }
func (p processes) Log(i int) string     { return p.nodes[i].Log }

// Stop returns an error when the member did not stop in good order. It is gone all the same.
func (p processes) Stop(i int) error { return stop(p.nodes[i], stopLimit) }

func stop(n *local.Node, limit time.Duration) error {
	if err := n.Terminate(); err != nil {
		return err
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-n.Done():
	case <-late.C:
		// That it has just ended by itself is no better: it was late.
		if err := n.Kill(); err != nil && !errors.Is(err, local.ErrNotRunning) {
			return err
		}
		return fmt.Errorf("%s did not stop within %v of SIGTERM: killed (its log is %s)", n.Name, limit, n.Log)
	}
	if exit, _ := n.Exit(); !exit.Clean {
		return fmt.Errorf("%s stopped with a failure (%s): %s (its log is %s)", n.Name, exit.Reason, exit.LastLine(), n.Log)
	}
	return nil
}
