package load

import (
	"context"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// poll asks a member for its status, again and again.
func (l *Load) poll(ctx context.Context, t Target) {
	for {
		request, cancel := context.WithTimeout(ctx, pollTimeout)
		p := history.Poll{Member: t.Name}
		r, err := t.Client.Status(request, t.Client.Endpoints()[0])
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.Error = err.Error()
		} else {
			p.ID, p.Leader, p.Term, p.Applied = r.Header.MemberId, r.Leader, r.RaftTerm, r.RaftAppliedIndex
		}
		l.rec.Poll(p)
		if !wait(ctx, pollEvery) {
			return
		}
	}
}
