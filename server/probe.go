package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// check is one part of a probe.
type check struct {
	name string
	run  func(context.Context) error
}

// installProbes adds /livez (restart me?) and /readyz (send me clients?), each with one more path for each check.
//
// The NOSPACE alarm is no reason to be unready: reads and deletes work, and deletes are what is needed then.
func (a *api) installProbes(mux *http.ServeMux) {
	serializable := check{"serializable_read", func(ctx context.Context) error { return a.tryRead(ctx, true) }}
	a.installProbe(mux, "livez", []check{serializable})
	a.installProbe(mux, "readyz", []check{
		// A member that finds its data damaged stops serving; one that answers at all has nothing to report.
		{"data_corruption", func(context.Context) error { return nil }},
		serializable,
		{"linearizable_read", func(ctx context.Context) error { return a.tryRead(ctx, false) }},
		{"non_learner", func(context.Context) error {
			if a.node.Status().Learner {
				return errors.New("not supported for learner")
			}
			return nil
		}},
	})
}

func (a *api) installProbe(mux *http.ServeMux, kind string, checks []check) {
	mux.HandleFunc("/"+kind, getOnly(func(w http.ResponseWriter, r *http.Request) {
		excluded := r.URL.Query()["exclude"] // names that do not exist are no error: probes outlive versions
		a.serveProbe(w, r, kind, slices.DeleteFunc(slices.Clone(checks), func(c check) bool {
			return slices.Contains(excluded, c.name)
		}))
	}))
	for _, c := range checks {
		mux.HandleFunc("/"+kind+"/"+c.name, getOnly(func(w http.ResponseWriter, r *http.Request) {
			a.serveProbe(w, r, kind, []check{c})
		}))
	}
}

// serveProbe runs checks and writes "ok", or what failed. With ?verbose it also lists what did not. Where there is a list,
// it tells the faults of a drill as well.
func (a *api) serveProbe(w http.ResponseWriter, r *http.Request, kind string, checks []check) {
	var report strings.Builder
	failed := false
	for _, c := range checks {
		err := c.run(r.Context())
		a.countProbe(kind, c.name, err == nil)
		if err != nil {
			failed = true
			fmt.Fprintf(&report, "[-]%s failed: %s\n", c.name, errorText(err))
			continue
		}
		fmt.Fprintf(&report, "[+]%s ok\n", c.name)
	}
	if n := a.drills.notice(); n != "" {
		fmt.Fprintf(&report, "[!]%s\n", n)
	}
	if failed {
		a.logger.Warn("probe failed", "probe", kind, "report", report.String())
		http.Error(w, report.String(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !r.URL.Query().Has("verbose") {
		report.Reset()
	}
	_, _ = io.WriteString(w, report.String()+"ok\n")
}

func (a *api) countProbe(kind, name string, good bool) {
	status, value := "error", 0.0
	if good {
		status, value = "success", 1
	}
	a.metrics.probe.With(prometheus.Labels{"type": kind, "name": name}).Set(value)
	a.metrics.probes.With(prometheus.Labels{"type": kind, "name": name, "status": status}).Inc()
}
