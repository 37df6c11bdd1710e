package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/fault"
)

// struck is what a round did, for the measurements.
type struck struct {
	number int
	begun  bool
	what   string
	// whom the fault struck; the others have to go on.
	whom   []int
	leader int // before, -1 unknown
	next   int // the leader in the end, -1 unknown
	// struckAt is when the fault was in full effect, healing when its end began, over when it had ended, and well when all
	// members served again.
	begin, struckAt, healing, over, well time.Duration
	kind                                 string // what is measured apart, within a scenario: "leader", "follower"
}

// round is one injection of a fault: what scenarios are written with. Whatever it does is undone by heal, and by the run in
// the end.
type round struct {
	*run
	struck
	number int
	hold   time.Duration
	faults []int // places in the history of the faults that are not over
}

// leader waits for a leader that answers for itself.
func (r *round) leader(ctx context.Context) (int, error) { return r.awaitLeader(ctx, -1) }

// awaitLeader waits until a member says that it leads and is not the one to leave out, in a term not older than any other
// that leads.
func (r *run) awaitLeader(ctx context.Context, not int) (leader int, err error) {
	err = until(ctx, 20*time.Second, "a leader", func() bool {
		leader = r.leads(not)
		return leader >= 0
	})
	return leader, err
}

// leads is the member that leads as far as the newest polls say, -1 for none.
func (r *run) leads(not int) int {
	looks := r.rec.Look()
	best, term := -1, uint64(0)
	for i, m := range r.members {
		p, done := looks[m.Name], r.done.get(i)
		if i != not && !done.down && !done.paused && p.ID != 0 && p.Leader == p.ID && p.Term >= term {
			best, term = i, p.Term
		}
	}
	return best
}

// others are all members but those.
func (r *run) others(than ...int) (rest []int) {
	for i := range r.members {
		if !slices.Contains(than, i) {
			rest = append(rest, i)
		}
	}
	return rest
}

// begin starts the fault of the round, in the history and for the observer.
func (r *round) begin(what string, whom ...int) {
	now := r.rec.Now()
	if !r.begun {
		r.struck = struck{
			number: r.number, begun: true, what: what, whom: whom, leader: r.leads(-1), next: -1, begin: now, struckAt: now, kind: r.kind,
		}
	}
	f := history.Fault{At: now, Round: r.number, Members: r.some(whom), What: what}
	r.rec.Edit(func(h *history.History) {
		h.Faults = append(h.Faults, f)
		r.faults = append(r.faults, len(h.Faults)-1)
	})
	r.show.fault(what, f.Members)
	r.show.say("%s: %s", strings.Join(f.Members, ", "), what)
}

// full notes that the fault is in full effect.
func (r *round) full() { r.struckAt = r.rec.Now() }

func (r *run) some(members []int) (names []string) {
	for _, i := range members {
		names = append(names, r.members[i].Name)
	}
	return names
}

// setFaults replaces the rules of a member. They outlive what the drill expects by a little, in case it dies.
func (r *run) setFaults(ctx context.Context, i int, rules fault.Rules, ttl time.Duration) error {
	return r.cluster.SetFaults(ctx, i, rules, ttl)
}

func (r *round) rule(ctx context.Context, i int, rules fault.Rules) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	r.done.set(i, func(c *condition) { c.ruled = true })
	if err := r.setFaults(ctx, i, rules, max(r.hold+10*time.Second, 15*time.Second)); err != nil {
		return fmt.Errorf("set faults on %s: %w", r.members[i].Name, err)
	}
	return nil
}

// cut ends all traffic between the members of a side and the others, both ways, at both ends.
func (r *round) cut(ctx context.Context, side []int) error {
	return r.links(ctx, side, r.others(side...), fault.Link{In: true, Out: true, Drop: 1})
}

// isolate cuts each of some members off from every other one, at both ends.
func (r *round) isolate(ctx context.Context, members []int) error {
	for i := range r.members {
		var rules fault.Rules
		for _, peer := range r.others(i) {
			if slices.Contains(members, i) || slices.Contains(members, peer) {
				rules.Links = append(rules.Links, fault.Link{Peer: r.members[peer].ID, In: true, Out: true, Drop: 1})
			}
		}
		if err := r.rule(ctx, i, rules); err != nil {
			return err
		}
	}
	r.full()
	return nil
}

// links puts a rule on the traffic of each member on one side with each on the other. In and Out are meant as the members
// of the first side see them.
func (r *round) links(ctx context.Context, one, other []int, l fault.Link) error {
	back := l
	back.In, back.Out = l.Out, l.In
	for _, side := range []struct {
		of, with []int
		rule     fault.Link
	}{{one, other, l}, {other, one, back}} {
		for _, i := range side.of {
			var rules fault.Rules
			for _, peer := range side.with {
				link := side.rule
				link.Peer = r.members[peer].ID
				rules.Links = append(rules.Links, link)
			}
			if err := r.rule(ctx, i, rules); err != nil {
				return err
			}
		}
	}
	r.full()
	return nil
}

func (r *round) kill(i int) error {
	r.done.set(i, func(c *condition) { c.down = true })
	defer r.full()
	return r.cluster.Processes().Kill(i)
}

func (r *round) pause(i int) error {
	r.done.set(i, func(c *condition) { c.paused = true })
	defer r.full()
	return r.cluster.Processes().Pause(i)
}

// lastAndHeal lets the fault last for as long as it should, and heals it.
func (r *round) lastAndHeal(ctx context.Context) error {
	if err := pass(ctx, r.hold); err != nil {
		return err
	}
	return r.heal(ctx)
}

// awaitWrite waits until a write has been acknowledged after a time, on any member.
func (r *round) awaitWrite(ctx context.Context, after time.Duration) error {
	return until(ctx, 20*time.Second, "an acknowledged write", func() bool { return r.rec.Totals().LastWrite > after })
}

// heal undoes everything and waits until all members serve.
func (r *round) heal(ctx context.Context) error {
	r.healing = r.rec.Now()
	r.show.phase(fmt.Sprintf("round %d of %d: healing", r.number, r.options.Rounds))
	if err := r.undo(ctx); err != nil {
		return err
	}
	r.over = r.rec.Now()
	r.ended()
	r.show.say("healed")
	if err := r.awaitWell(ctx, r.over); err != nil {
		return err
	}
	r.well, r.next = r.rec.Now(), r.leads(-1)
	r.show.say("all members serve again, %v after the heal", (r.well - r.over).Round(time.Millisecond))
	return nil
}

// ended notes that the faults of the round are over.
func (r *round) ended() {
	now := r.rec.Now()
	r.rec.Edit(func(h *history.History) {
		for _, place := range r.faults {
			h.Faults[place].Until = now
		}
	})
	r.faults = nil
	r.show.fault("", nil)
}

// undo lets every member be as it was: rules go, processes run.
func (r *run) undo(ctx context.Context) error {
	var errs []error
	for i := range r.members {
		errs = append(errs, r.undoOne(ctx, i))
	}
	return errors.Join(errs...)
}

func (r *run) undoOne(ctx context.Context, i int) error {
	was := r.done.get(i)
	if was.paused {
		if err := r.cluster.Processes().Continue(i); err != nil {
			return err
		}
		r.done.set(i, func(c *condition) { c.paused = false })
	}
	if was.down {
		start := history.Start{At: r.rec.Now(), Member: r.members[i].Name}
		r.rec.Edit(func(h *history.History) { h.Starts = append(h.Starts, start) })
		if err := r.cluster.Processes().Start(i); err != nil {
			return err
		}
		r.done.set(i, func(c *condition) { c.down, c.ruled = false, false }) // rules die with the process
	}
	if was.ruled && !was.down {
		asking, cancel := context.WithTimeout(ctx, askLimit)
		defer cancel()
		if err := r.setFaults(asking, i, fault.Rules{}, time.Second); err != nil {
			return fmt.Errorf("clear the faults of %s: %w", r.members[i].Name, err)
		}
		r.done.set(i, func(c *condition) { c.ruled = false })
	}
	return nil
}

// awaitWell waits until every member has answered a linearizable read that began after a time, and all follow one leader.
func (r *run) awaitWell(ctx context.Context, since time.Duration) error {
	for i, m := range r.members {
		err := until(ctx, 30*time.Second, m.Name+" serves again", func() bool {
			p := r.rec.Look()[m.Name]
			if p.At <= since || p.Error != "" || p.Leader == 0 {
				return false
			}
			asking, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := r.client(i).Get(asking, r.prefix)
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// healAll is for the end, however it came: it has time of its own.
func (r *run) healAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), healLimit)
	defer cancel()
	r.show.phase("healing")
	err := until(ctx, healLimit, "every member is as it was", func() bool { return r.undo(ctx) == nil })
	if err != nil {
		return errors.Join(err, r.undo(ctx))
	}
	now := r.rec.Now()
	r.rec.Edit(func(h *history.History) {
		for i := range h.Faults {
			if h.Faults[i].Until == 0 {
				h.Faults[i].Until = now
			}
		}
	})
	r.show.fault("", nil)
	return nil
}
