package check

import (
	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

type Result struct {
	Violations []history.Violation
	Checks     []report.Check
}

func All(h *history.History) Result { return Result{} }

type Live struct{}

func NewLive() *Live                                                 { return &Live{} }
func (*Live) Op(*history.Op) *history.Violation                      { return nil }
func (*Live) Batch(*history.Watch, history.Batch) *history.Violation { return nil }
func (*Live) Poll(history.Poll) *history.Violation                   { return nil }
