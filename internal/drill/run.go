package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/drill/check"
	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/load"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// Prefix is the beginning of the keys of all drills: nobody else may use it.
const Prefix = "_quorumkv/drill/"

const (
	defaultClients = 12
	interval       = 20 * time.Millisecond // between two requests of a client
	requestTimeout = 3 * time.Second
	leaseCount     = 6
	leaseTTL       = 6 * time.Second
	// calm is how long the load runs before the first fault and after each.
	calm = 1500 * time.Millisecond
	// shortestHold is how long a fault lasts at least, however short the drill.
	shortestHold = time.Second
	// recovery is how long a round takes besides the fault, about.
	recovery = 2500 * time.Millisecond
	// wrapUp is how long reading and checking the history takes, about.
	wrapUp = 5 * time.Second
	// healLimit is how long a heal may take when everything else has ended.
	healLimit = 10 * time.Second
)

// errViolated ends the rounds of a drill: there is nothing more to find out.
var errViolated = errors.New("a promise is broken")

// run is a drill under way. Its goroutine is that of Run; the load and the observer's ticker have others.
type run struct {
	cluster  Cluster
	members  []Member
	scenario Scenario
	options  Options
	rng      *rand.Rand

	prefix   string
	started  time.Time
	rec      *load.Recorder
	load     *load.Load
	live     *witness
	show     *show
	versions []string // of the members' programs
	done     conditions
	rounds   []struck
	stuck    error // why not all rounds came to their end
	notes    []string
}

// Run carries out a scenario and judges it. The error says why there is no result: the cluster is not healthy, faults
// cannot be set, the scenario needs what the cluster does not have. When ctx ends the drill heals and judges what it has.
func Run(ctx context.Context, c Cluster, s Scenario, o Options, obs Observer) (*report.Report, *history.History, error) {
	o = o.withDefaults(s, len(c.Members()))
	r := &run{
		cluster: c, members: c.Members(), scenario: s, options: o, rng: rand.New(rand.NewPCG(o.Seed, 0)),
		prefix: fmt.Sprintf("%s%s-%016x/", Prefix, s.Name, rand.Uint64()), started: time.Now(),
		done: conditions{of: make([]condition, len(c.Members()))},
	}
	r.show = newShow(r, obs)
	defer r.show.close()
	first, err := r.preflight(ctx)
	if err != nil {
		return nil, nil, err
	}
	strikes, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.live = &witness{live: check.NewLive(first), violated: func() { cancel(errViolated) }}
	r.rec = load.NewRecorder(r.prefix, r.names(), first, r.live)
	r.show.begin()
	r.load = load.Start(load.Config{
		Targets: r.targets(), Prefix: r.prefix, Clients: o.Clients, Interval: interval, Timeout: requestTimeout,
		Leases: leaseCount, LeaseTTL: leaseTTL, Seed: o.Seed,
	}, r.rec)

	err = r.strikes(strikes)
	interrupted := ctx.Err() != nil
	healErr := r.healAll() // whatever happened, and with time of its own
	if err != nil && strikes.Err() == nil {
		r.stuck = err
		r.note("The drill ended before its time: %v.", err)
	} else if errors.Is(context.Cause(strikes), errViolated) {
		r.note("The drill stopped at the first broken promise.")
	}
	if healErr != nil {
		r.note("Healing failed: %v. Fault rules end by themselves.", healErr)
	}
	r.finish(ctx)
	r.claims()
	h := r.rec.History()
	r.cleanUp(h.Leases)
	return r.report(h, interrupted), h, nil
}

func (o Options) withDefaults(s Scenario, members int) Options {
	if o.Rounds == 0 {
		o.Rounds = s.Rounds
	}
	if o.Rounds == 0 {
		o.Rounds = members
	}
	if o.Clients == 0 {
		o.Clients = defaultClients
	}
	for o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	return o
}

// hold is how long the fault lasts in each round.
func (o Options) hold(s Scenario) time.Duration {
	if o.Duration == 0 {
		return s.Hold
	}
	return max(shortestHold, min(s.Hold, (o.Duration-calm)/time.Duration(o.Rounds)-recovery))
}

func (r *run) expected() time.Duration {
	rounds := calm + time.Duration(r.options.Rounds)*(r.options.hold(r.scenario)+recovery)
	return max(rounds, r.options.Duration) + wrapUp
}

// strikes runs the rounds.
func (r *run) strikes(ctx context.Context) error {
	r.show.phase("all is well")
	if err := pass(ctx, calm); err != nil {
		return err
	}
	for n := range r.options.Rounds {
		if err := r.strike(ctx, n+1); err != nil {
			return fmt.Errorf("round %d: %w", n+1, err)
		}
	}
	r.show.phase("all is well again")
	return pass(ctx, r.options.Duration-r.rec.Now())
}

func (r *run) strike(ctx context.Context, n int) error {
	r.show.round(n)
	round := &round{run: r, number: n, hold: r.options.hold(r.scenario)}
	err := r.scenario.strike(ctx, round)
	if round.begun {
		r.rounds = append(r.rounds, round.struck)
	}
	if err != nil {
		return err
	}
	r.show.phase(fmt.Sprintf("round %d of %d: over", n, r.options.Rounds))
	return pass(ctx, calm)
}

func (r *run) names() (names []string) {
	for _, m := range r.members {
		names = append(names, m.Name)
	}
	return names
}

func (r *run) targets() (targets []load.Target) {
	for i, m := range r.members {
		targets = append(targets, load.Target{Name: m.Name, Client: r.client(i)})
	}
	return targets
}

func (r *run) client(i int) *clientv3.Client { return r.cluster.Client(i) }

func (r *run) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// pass lets time pass.
func pass(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookEvery is how often a condition that nothing announces is looked at.
const lookEvery = 20 * time.Millisecond

// until waits for a condition; the error names what did not come.
func until(ctx context.Context, limit time.Duration, what string, holds func() bool) error {
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !holds() {
		if err := pass(waiting, lookEvery); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%s: not within %v", what, limit)
		}
	}
	return nil
}
