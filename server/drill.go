package server

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/quorumkv/quorumkv/internal/fault"
)

// drills is what a member has that was started with --enable-drills, and no other: the faults that it can be told to
// meet, who may say so, and what shows that it does.
type drills struct {
	faults *fault.Injector
	token  [sha256.Size]byte // the hash of it, so that comparing takes no longer for a longer guess
	active *prometheus.GaugeVec
	total  *prometheus.CounterVec
	logger hclog.Logger
	// refusals bounds how often the log says that a call was refused: whoever guesses tokens must not fill it.
	refusals rate.Sometimes
}

// refusalsLogged is the least time between two lines about calls that were refused.
const refusalsLogged = time.Second

// newDrills returns the drills of a member whose token was configured, or draws one and logs it if it is "".
func newDrills(token string, r prometheus.Registerer, logger hclog.Logger) *drills {
	if token == "" {
		var b [16]byte
		rand.Read(b[:])
		token = hex.EncodeToString(b[:])
		logger.Warn("drills are enabled: this member can be told to fail by whoever knows this token; "+
			"hand it to quorumctl drill, or give all members the same one with --drills-token", "token", token)
	} else {
		logger.Warn("drills are enabled: this member can be told to fail by whoever knows its --drills-token")
	}
	d := &drills{
		token: sha256.Sum256([]byte(token)),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "quorumkv_drill_faults_active", Help: "Rules of a drill that hold now, by what they disturb.",
		}, []string{"kind"}),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quorumkv_drill_faults_total", Help: "Rules of drills that were set, by what they disturb.",
		}, []string{"kind"}),
		logger:   logger,
		refusals: rate.Sometimes{Interval: refusalsLogged},
	}
	r.MustRegister(d.active, d.total)
	d.measure(fault.Rules{}, false)
	d.faults = fault.NewInjector(d.changed)
	return d
}

// admits reports whether a token is the member's.
func (d *drills) admits(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], d.token[:]) == 1
}

// changed is the injector's callback.
func (d *drills) changed(c fault.Change) {
	switch c.Event {
	case fault.Began:
		d.measure(c.Rules, true)
		d.logger.Warn("faults begin", "faults", c.Rules.String(), "until", deadline(c.Until))
	case fault.Changed:
		d.measure(c.Rules, true)
		d.logger.Warn("faults change", "faults", c.Rules.String(), "until", deadline(c.Until))
	case fault.Ended:
		d.measure(fault.Rules{}, false)
		d.logger.Warn("faults end", "reason", c.Why, "faults", c.Rules.String())
	}
}

// measure shows rules in the metrics, and counts them if they were set.
func (d *drills) measure(r fault.Rules, set bool) {
	link, disk, wall := r.Counts()
	for kind, n := range map[string]int{"link": link, "disk": disk, "wall": wall} {
		d.active.WithLabelValues(kind).Set(float64(n))
		total := d.total.WithLabelValues(kind)
		if set {
			total.Add(float64(n))
		}
	}
}

// injector is nil for a member without drills.
func (d *drills) injector() *fault.Injector {
	if d == nil {
		return nil
	}
	return d.faults
}

// notice says which faults hold, for whoever asks how the member is; "" when there are none, or no drills.
func (d *drills) notice() string {
	r, until := d.injector().Rules()
	if r.Empty() {
		return ""
	}
	return fmt.Sprintf("drill: %s, until %s", r, deadline(until))
}

func deadline(t time.Time) string { return t.UTC().Format(time.RFC3339) }
