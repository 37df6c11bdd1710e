package sim

import (
	"math/rand/v2"
	"time"
)

// Options are everything that a seed decides before the run starts: a different mix of faults each time, each one on
// with probability one half, so that rare combinations come up (swarm testing).
type Options struct {
	Nodes   int
	Clients int
	// Faulty is the length of the first phase, Heal the bound of the second.
	Faulty, Heal time.Duration

	Loss, Duplicate    float64       // probability for each message
	Replay             float64       // probability that a message comes once more, seconds later
	DelayMean          time.Duration // exponential, so messages overtake each other
	PartitionEvery     time.Duration // mean time between partitions; 0: none
	PartitionFor       time.Duration // mean length
	CutsRefuse         bool          // who is cut off from a node takes its process for ended
	ClogEvery          time.Duration // mean time between clogged links, whose messages arrive together at the end; 0: none
	CrashEvery         time.Duration // mean time between crashes; 0: none
	CrashAtFileOp      bool          // some crashes strike at a random file operation instead of between events
	PowerLoss          float64       // share of crashes in which what was not synced may vanish
	AllAtOnce          float64       // share of crashes that take every node down together
	DownFor            time.Duration // mean time until a crashed node starts again
	PauseEvery         time.Duration // mean time between pauses of a process (or all); 0: none
	Drift              float64       // clocks run between 1-Drift and 1+Drift as fast as true time
	WallSteps          bool          // wall clocks jump by up to an hour
	StallEvery         time.Duration // mean time between stalls of a lane, as by a disk that hangs; 0: none
	MaxPending         int           // bound of waiting writes on a node; 0: the default
	LaneTime           time.Duration // mean time of one job on a lane
	FlushOps           int           // changes after which a flush is due; 0: the default, and flushes come with time
	HastenElection     bool
	SnapshotEntries    uint64
	CatchUpEntries     uint64
	Keys               int
	OperationsInFlight int
	Watchers           int           // clients that follow the store
	Holders            int           // clients that hold leases
	RecentRows         int           // of the history that stays in memory
	ThinkMean          time.Duration // mean time between the end of a client's operation and its next
	FullEvery          time.Duration // mean time between disks that fill up and are freed later; 0: none
	HangEvery          time.Duration // mean time until a log hangs for good; 0: none does
	CopyOnWrite        bool          // the disks find space missing also where it is preallocated
	CheckEvery         time.Duration // time between two comparisons of histories, and nodes diverge; 0: the default, and none does
	Rot                float64       // share of crashes during which a disk damages what it holds
	LieEvery           time.Duration // mean time between writes that are lost, or performed elsewhere; 0: none
	Overload           bool          // more writes come at once than nodes may hold, at the end
	MaxPendingBytes    int           // bound of the bytes of waiting writes on a node; 0: the default
	BlackoutEvery      time.Duration // mean time between power cuts of all nodes together; 0: none
	Garble             float64       // share of messages that come damaged or forged
	Pieces             int           // in which a snapshot travels
	PieceTrouble       float64       // share of pieces that get lost, or with which the receiver or the sender dies
	ScrubEvery         time.Duration // time between two passes of a node over its files; 0: none
	DiskErrorEvery     time.Duration // mean time between disks that fail to write or to sync; 0: none does
	Impostors          float64       // share of crashes after which a node finds another disk than its own
}

// fewWatchers is above what most seeds have; those with a crowd have more.
const fewWatchers = 6

// Draw makes a seed's options.
func Draw(rng *rand.Rand) Options {
	coin := func() bool { return rng.IntN(2) == 0 }
	between := func(lo, hi time.Duration) time.Duration { return lo + time.Duration(rng.Int64N(int64(hi-lo))) }
	o := Options{
		Nodes:              [...]int{1, 3, 3, 3, 3, 3, 3, 5, 5, 5}[rng.IntN(10)],
		Clients:            4 + rng.IntN(12),
		Faulty:             60 * time.Second,
		Heal:               60 * time.Second,
		DelayMean:          between(200*time.Microsecond, 5*time.Millisecond),
		DownFor:            between(100*time.Millisecond, 5*time.Second),
		LaneTime:           between(50*time.Microsecond, 5*time.Millisecond),
		SnapshotEntries:    20 + rng.Uint64N(200),
		CatchUpEntries:     5 + rng.Uint64N(50),
		Keys:               5 + rng.IntN(50),
		OperationsInFlight: 1 + rng.IntN(3),
	}
	o.ThinkMean = between(100*time.Millisecond, 1500*time.Millisecond)
	o.Watchers, o.RecentRows = rng.IntN(fewWatchers), 1+rng.IntN(100)
	o.HastenElection = coin()
	if coin() { // followers fall behind at once
		o.SnapshotEntries, o.CatchUpEntries = 5+rng.Uint64N(20), 1+rng.Uint64N(10)
	}
	if coin() {
		o.Loss = rng.Float64() * 0.3
	}
	if coin() {
		o.Duplicate = rng.Float64() * 0.5
	}
	if coin() {
		o.Replay = rng.Float64() * 0.1
	}
	if coin() {
		o.DelayMean = between(5*time.Millisecond, 100*time.Millisecond)
	}
	if coin() {
		o.PartitionEvery, o.PartitionFor = between(2*time.Second, 15*time.Second), between(time.Second, 8*time.Second)
	}
	if coin() {
		o.ClogEvery = between(time.Second, 10*time.Second)
	}
	if coin() {
		o.PauseEvery = between(2*time.Second, 20*time.Second)
	}
	if coin() {
		o.Drift, o.WallSteps = rng.Float64()*0.1, true
	}
	if coin() {
		o.StallEvery = between(time.Second, 8*time.Second)
	}
	if rng.IntN(8) == 0 {
		o.MaxPending = 1 + rng.IntN(8)
	}
	if coin() {
		o.CrashEvery = between(2*time.Second, 15*time.Second)
		o.CrashAtFileOp = coin()
		if coin() {
			o.PowerLoss = rng.Float64()
		}
		if coin() {
			o.AllAtOnce = rng.Float64() * 0.3
		}
	}
	if coin() { // last, so that the seeds of before mean what they meant
		o.Holders = 1 + rng.IntN(4)
	}
	if rng.IntN(8) == 0 { // so many that their streams rest between rounds
		o.Watchers += 10 + rng.IntN(50)
	}
	if rng.IntN(3) == 0 {
		o.FullEvery = between(3*time.Second, 20*time.Second)
	}
	if rng.IntN(3) == 0 {
		o.HangEvery = between(10*time.Second, 40*time.Second)
	}
	o.CopyOnWrite = coin()
	if rng.IntN(3) == 0 {
		o.Rot = 0.2 + 0.8*rng.Float64()
		def := between(3*time.Second, 15*time.Second)
		if o.CrashEvery == 0 {
			o.CrashEvery = def
		}
	}
	if rng.IntN(3) == 0 {
		o.LieEvery = between(3*time.Second, 15*time.Second)
	}
	if rng.IntN(20) == 0 {
		o.Overload, o.MaxPending, o.MaxPendingBytes = true, 1+rng.IntN(overloadPending), overloadBytes
	}
	o.Pieces = 1 + rng.IntN(maxPieces)
	if rng.IntN(3) == 0 {
		o.Garble = rng.Float64() * 0.1
	}
	if rng.IntN(6) == 0 {
		o.BlackoutEvery = between(5*time.Second, 30*time.Second)
	}
	if coin() {
		o.PieceTrouble = rng.Float64() * 0.4
	}
	if rng.IntN(3) == 0 && o.Nodes > 1 {
		o.CheckEvery = between(2*time.Second, 8*time.Second)
	}
	if scrub := between(time.Second, 20*time.Second); coin() || o.Rot > 0 {
		o.ScrubEvery = scrub
	}
	if rng.IntN(3) == 0 {
		o.DiskErrorEvery = between(2*time.Second, 10*time.Second)
	}
	if rng.IntN(3) == 0 {
		o.Impostors = 0.2 + 0.8*rng.Float64()
		def := between(3*time.Second, 15*time.Second)
		if o.CrashEvery == 0 {
			o.CrashEvery = def
		}
	}
	if coin() { // so few that applying waits for flushes
		o.FlushOps = 1 + rng.IntN(20)
	}
	o.CutsRefuse = coin()
	return o
}
