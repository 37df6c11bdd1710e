package main

import (
	"io"
	"os"

	"github.com/cheggaaa/pb/v3"
	"golang.org/x/term"
)

// countTemplate is a bar without an end: how much was done, and how fast.
const countTemplate = `{{string . "prefix"}} {{counters . "%s / %s" "%s"}} {{speed . }}`

// progress starts a bar on standard error, if that is a terminal: in a file it would only be in the way. A total of zero
// means that nobody knows how much there is to do.
func (a *app) progress(what string, total int64) *pb.ProgressBar {
	bar := pb.New64(total).Set("prefix", what)
	if total == 0 {
		bar.SetTemplateString(countTemplate)
	}
	if f, ok := a.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return bar.SetWriter(f).Start()
	}
	return bar.SetWriter(io.Discard).Set(pb.Static, true).Start()
}
