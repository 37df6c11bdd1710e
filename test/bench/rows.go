package main

import (
	"context"
	"time"
)

// turn is one measurement of one system: what a row is given.
type turn struct {
	ctx   context.Context
	h     *host
	s     *system
	size  size
	row   string
	round int
}

// wait lets time pass where a server does not say when it is done.
func (t *turn) wait(d time.Duration) { pause(t.ctx, d) }

// size is how much the rows do.
type size struct {
	duration      time.Duration // of one measurement
	rounds        int           // measurements of each system
	value         int           // bytes, unless the row says otherwise
	keys          int           // of small stores
	most          int           // clients, unless the row has fewer
	large, missed int           // keys of large stores, and writes that a follower misses
	watchers      int
	watchedPuts   int // per second
	compactedPuts int // per second
	leases        int
	idle          int // watchers
	// settle lets a server finish what it does after its start, and after a load; none says when it is done.
	settle time.Duration
	// errors is the share of calls that may fail before a measurement does.
	errors float64
	once   bool // rows that have more rounds than others have as many
}

func (z size) clients(n int) int { return min(n, z.most) }

// fullSize is that of the published table.
var fullSize = size{
	duration: 3 * time.Second, rounds: 5, value: 256, keys: 10_000, most: 5000, large: 1_000_000, missed: 500_000,
	watchers: 1000, watchedPuts: 5000, compactedPuts: 1000, leases: 10_000, idle: 10_000, settle: 2 * time.Second, errors: 0.01,
}

func quickSize() size {
	z := fullSize
	z.duration, z.rounds = 1500*time.Millisecond, 3
	return z
}

// row is one kind of work.
type row struct {
	name    string
	what    string // the work, for the list of rows
	echo    bool   // also measured on the echo server
	measure func(*turn) sample
	lines   []line

	// fresh systems are started for each measurement, alone. Others run side by side for a whole row.
	fresh bool
	// with is the name of a row whose systems this one goes on with, in the order of the list.
	with  string
	nodes int // default 3
	times int // rounds for each of the size's; default 1
}

// line is a line of the table: one figure of a row, and what is asked of it.
type line struct {
	work   string
	figure string
	unit   unit
	// What is asked; 0 is nothing. Bounds of figures that shall be small are the most, of others the least.
	ratio float64 // QuorumKV's figure divided by etcd's
	own   float64 // QuorumKV's figure
	echo  float64 // QuorumKV's figure divided by the echo server's
	small bool
	// unpaired figures are drawn by lot in each round: their medians are compared, not round with round.
	unpaired bool
}

func faster(work string, ratio, echo float64) line {
	return line{work: work + ": per second", figure: rate, unit: perSecond, ratio: ratio, echo: echo}
}

func lower(work, figure string, u unit, ratio float64) line {
	return line{work: work, figure: figure, unit: u, ratio: ratio, small: true}
}

// rows are all rows, in the order of the table.
var rows = []row{
	{name: "put-1000", what: "put, 1,000 clients on 100 connections", echo: true, measure: putRow(1000, 256), lines: []line{
		faster("put, 1,000 clients on 100 connections", 2.0, 0),
		lower("the same: p99 latency", p99, seconds, 0.5),
		lower("the same: server CPU seconds per 100,000 puts, all nodes", serverCPU, cpuSeconds, 0.45),
	}},
	{name: "put-1", what: "put, 1 client", echo: true, measure: putRow(1, 256), lines: []line{
		lower("put, 1 client: mean latency", mean, seconds, 0.55),
	}},
	{name: "put-4k", what: "put, 4 KiB values, 200 clients", echo: true, measure: putRow(200, 4<<10), lines: []line{
		faster("put, 4 KiB values, 200 clients", 1.8, 0),
	}},
	{name: "range-1000", what: "range, one key, linearizable, 1,000 clients", echo: true,
		measure: rangeRow(1000, false), lines: []line{
			faster("range, one key, linearizable, 1,000 clients", 1.5, 0.90),
		}},
	{name: "range-serializable-1000", what: "range, one key, serializable, 1,000 clients", echo: true,
		measure: rangeRow(1000, true), lines: []line{
			faster("range, one key, serializable, 1,000 clients", 1.1, 0.95),
		}},
	{name: "range-1", what: "range, one key, linearizable, 1 client", echo: true, measure: rangeRow(1, false), lines: []line{
		lower("range, one key, linearizable, 1 client: mean latency", mean, seconds, 0.6),
	}},
	{name: "range-10k", what: "range over 10,000 keys, 20 clients", measure: scanRow, lines: []line{
		{work: "range over 10,000 keys, 20 clients: MB/s", figure: megabytes, unit: plain, ratio: 2.0},
		lower("the same: memory, all nodes", memoryPeak, inBytes, 0.5),
	}},
	{name: "txn-300", what: "transactions, compare-and-swap, 300 clients", measure: txnRow(300), lines: []line{
		faster("txn compare-and-swap (the Kubernetes update), 300 clients", 2.0, 0),
	}},
	{name: "mixed-1000", what: "90 % range, 10 % put, 1,000 clients", echo: true, measure: mixedRow(1000), lines: []line{
		faster("mixed 90 % range, 10 % put, 1,000 clients", 1.5, 0),
	}},
	{name: "watch-fanout", what: "1 writer, 1,000 watchers", measure: fanoutRow, lines: []line{
		{work: "watch fan-out, 1 writer, 1,000 watchers: events per second", figure: rate, unit: perSecond, ratio: 2.0},
	}},
	{name: "watch-latency", what: "a watcher on each node under 5,000 puts per second", measure: watchLatencyRow, lines: []line{
		lower("watch latency under 5,000 puts/s: p99", p99, seconds, 0.5),
	}},
	{name: "keep-alive", what: "10,000 leases, 1,000 clients", measure: keepAliveRow(1000), lines: []line{
		faster("lease keep-alive, 10,000 leases", 2.0, 0),
	}},
	{name: "memory", what: "1,000,000 keys: memory of a node", fresh: true, measure: memoryRow, lines: []line{
		lower("memory of a node with 1,000,000 keys of 256 bytes (without mapped file)", heapMemory, inBytes, 0.5),
	}},
	{name: "restart", what: "1,000,000 keys: a node starts", fresh: true, with: "memory", measure: restartRow, lines: []line{
		lower("restart to ready with 1,000,000 keys", readyTime, seconds, 0.4),
	}},
	{name: "catch-up", what: "1,000,000 keys: a node missed 500,000 writes", fresh: true, with: "memory",
		measure: catchUpRow, lines: []line{
			lower("follower catch-up after 500,000 missed writes", caughtUp, seconds, 0.5),
		}},
	{name: "compaction", what: "puts while 1,000,000 revisions are compacted", fresh: true, with: "memory",
		measure: compactionRow, lines: []line{
			{work: "writes while compaction of 1,000,000 revisions runs: p99 by p99 idle", figure: slowdown, unit: times,
				own: 1.5, small: true},
		}},
	{name: "failover", what: "the leader is killed, and stopped", times: 4, measure: failoverRow, lines: []line{
		{work: "failover by SIGKILL of the leader: gap in acknowledged writes", figure: killGap, unit: seconds,
			ratio: 1.0, small: true, unpaired: true},
		{work: "the same, graceful stop", figure: stopGap, unit: seconds, own: 0.050, small: true, unpaired: true},
	}},
	{name: "watch-idle", what: "memory of 10,000 idle watchers on one node", fresh: true, nodes: 1,
		measure: idleWatchersRow, lines: []line{
			lower("memory of an idle watcher, 10,000 on one node", bytesEach, inBytes, 0),
		}},
}

// quickRows are those of the quick run.
var quickRows = []string{"put-1000", "put-1", "range-1000", "range-serializable-1000", "range-1", "txn-300", "mixed-1000"}

// rounds of a row.
func (z size) roundsOf(r row) int {
	if z.once {
		return z.rounds
	}
	return z.rounds * max(r.times, 1)
}

func rowNames() (names []string) {
	for _, r := range rows {
		names = append(names, r.name)
	}
	return names
}
