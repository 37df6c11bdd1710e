package server

import (
	"context"
	"encoding/json"
	"expvar"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/version"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// readHeaderTimeout is long, as in etcd: connections that load balancers keep open cost little.
const readHeaderTimeout = 5 * time.Minute

// newHTTPServer returns a server for what answers beside gRPC.
func newHTTPServer(a *api) *http.Server { return a.httpServer(newHTTPHandler(a)) }

// newMetricsServer returns a server for metrics and health alone, for networks that shall see nothing else.
func newMetricsServer(a *api) *http.Server {
	mux := http.NewServeMux()
	a.installObservation(mux)
	return a.httpServer(mux)
}

// httpServer speaks HTTP/1.1, and HTTP/2 without TLS.
func (a *api) httpServer(h http.Handler) *http.Server {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		Protocols:         new(http.Protocols),
		// What goes wrong on a connection is the client's business.
		ErrorLog: a.logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// newHTTPHandler serves the endpoints that probes, scrapers and scripts know from etcd; bodies, codes and headers are
// etcd's to the byte.
func newHTTPHandler(a *api) http.Handler {
	mux := http.NewServeMux()
	a.installObservation(mux)
	mux.HandleFunc("/version", getOnly(a.serveVersion))
	mux.HandleFunc("/debug/vars", getOnly(expvar.Handler().ServeHTTP))
	if a.profiles {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	if a.gateway {
		mux.Handle("/v3/", newGateway(a))
	}
	return withoutBeta(a.guard.wrap(mux))
}

// installObservation adds what watches the member.
func (a *api) installObservation(mux *http.ServeMux) {
	mux.HandleFunc("/health", getOnly(a.serveHealth))
	a.installProbes(mux)
	mux.Handle("/metrics", a.metrics.handler)
}

func getOnly(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		h(w, r)
	}
}

// healthBody is the body of /health. "true" and "false" are strings because they always were.
type healthBody struct {
	Health string `json:"health"`
	Reason string `json:"reason"`
}

// serveHealth says whether this member can serve reads: linearizable ones, which needs a quorum, or with
// ?serializable=true its own; and whether there are alarms, but for those of ?exclude=TYPE. The faults of a drill are told,
// and are no failure by themselves.
func (a *api) serveHealth(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	reason, drill := a.unhealthy(r.Context(), query.Get("serializable") == "true", query["exclude"]), a.drills.notice()
	h := healthBody{Health: "true", Reason: drill}
	if reason != "" {
		h = healthBody{Health: "false", Reason: strings.TrimSuffix(reason+"; "+drill, "; ")}
	}
	body, err := json.Marshal(h)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if reason != "" {
		a.metrics.healthFail.Inc()
		a.logger.Debug("health check failed", "reason", h.Reason)
		http.Error(w, string(body), http.StatusServiceUnavailable)
		return
	}
	a.metrics.healthSuccess.Inc()
	_, _ = w.Write(body) // the client is gone if this fails
}

// unhealthy returns why the member is not healthy, or "".
func (a *api) unhealthy(ctx context.Context, serializable bool, excluded []string) string {
	for _, alarm := range a.alarms() {
		if !slices.Contains(excluded, alarm.Type.String()) {
			return alarmReason(alarm)
		}
	}
	if !serializable && !a.leadership.hasLeader() {
		return "RAFT NO LEADER"
	}
	ctx, cancel := context.WithTimeout(ctx, a.readLimit)
	defer cancel()
	if err := a.tryRead(ctx, serializable); err != nil {
		return "RANGE ERROR:" + errorText(err)
	}
	return ""
}

// tryRead reads a key that need not exist.
func (a *api) tryRead(ctx context.Context, serializable bool) error {
	_, err := readView(ctx, a, serializable, &a.metrics.rangeRequest, func(v *apply.View) (*pb.RangeResponse, error) {
		return apply.Range(v.KV, &pb.RangeRequest{Key: []byte("health"), KeysOnly: true, Limit: 1})
	})
	return err
}

func (a *api) serveVersion(w http.ResponseWriter, _ *http.Request) {
	v := version.Versions{Server: version.Version, Cluster: "not_decided", Storage: "unknown"}
	if a.founded() {
		v.Cluster, v.Storage = dataVersion, dataVersion
	}
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}
