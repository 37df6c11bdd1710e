package server

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// guard stands before the HTTP endpoints: it tells browsers which pages may call them, and turns away requests for a
// host name that is not ours. The latter is what a page does that had its own name pointed at us (DNS rebinding).
type guard struct {
	origins, hosts []string // nil: all
	logger         hclog.Logger
}

func newGuard(origins, hosts []string, logger hclog.Logger) guard {
	return guard{allUnlessNamed(origins), allUnlessNamed(hosts), logger}
}

func allUnlessNamed(names []string) []string {
	if len(names) == 0 || slices.Contains(names, "*") {
		return nil
	}
	return names
}

func (g guard) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// TLS proves whom the client meant to reach.
		if host := hostname(r.Host); r.TLS == nil && g.hosts != nil && !slices.Contains(g.hosts, host) {
			g.logger.Warn("request for an unknown host name", "host", host)
			http.Error(w, misdirected(host), http.StatusMisdirectedRequest)
			return
		}
		g.allow(w.Header(), r.Header.Get("Origin"))
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusOK)
			return
		}
		// A browser sends many a POST without asking first, and only withholds the answer from the page.
		if r.Method != http.MethodGet && g.refuse(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allows reports whether pages from origin may call.
func (g guard) allows(origin string) bool {
	return g.origins == nil || slices.Contains(g.origins, origin)
}

// refuse answers a request that a page makes which may not call, and reports whether it has. Browsers say where a page is
// from whenever it could change something; a page of this server's own may call.
func (g guard) refuse(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if _, host, _ := strings.Cut(origin, "://"); origin == "" || g.allows(origin) || host == r.Host {
		return false
	}
	http.Error(w, fmt.Sprintf("Pages from %q may not use this server: allow them with --cors.", origin), http.StatusForbidden)
	return true
}

func (g guard) allow(h http.Header, origin string) {
	switch {
	case g.origins == nil:
		origin = "*"
	case !g.allows(origin):
		return
	}
	h.Add("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE")
	h.Add("Access-Control-Allow-Origin", origin)
	h.Add("Access-Control-Allow-Headers", "accept, content-type, authorization")
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}

func misdirected(host string) string {
	return fmt.Sprintf("This server does not answer to the host name %q.\n\n"+
		"Either use TLS, where any name will do, or allow the name with --host-whitelist. The check protects browsers\n"+
		"from pages that point a name of their own at this server (DNS rebinding, CVE-2018-5702).\n", host)
}
