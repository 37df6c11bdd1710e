package main

import (
	"fmt"
	"math"
	"time"
)

// unit prints a figure, with three digits that count.
type unit func(float64) string

func plain(v float64) string {
	switch {
	case v == 0:
		return "0"
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func perSecond(v float64) string { return plain(v) + "/s" }

func cpuSeconds(v float64) string { return plain(v) + " s" }

func times(v float64) string { return plain(v) + "x" }

func seconds(v float64) string {
	d := time.Duration(v * float64(time.Second))
	switch {
	case d < time.Millisecond:
		return plain(v*1e6) + " µs"
	case d < time.Second:
		return plain(v*1e3) + " ms"
	default:
		return plain(v) + " s"
	}
}

func inBytes(v float64) string {
	switch {
	case math.Abs(v) >= 1<<30:
		return plain(v/(1<<30)) + " GiB"
	case math.Abs(v) >= 1<<20:
		return plain(v/(1<<20)) + " MiB"
	case math.Abs(v) >= 1<<10:
		return plain(v/(1<<10)) + " KiB"
	default:
		return plain(v) + " B"
	}
}

// unitOf is that of a figure which no line of the table names.
var unitOf = map[string]unit{
	rate: plain, megabytes: plain, errorCount: plain,
	mean: seconds, p50: seconds, p99: seconds, serverCPU: plain, clientCPU: plain,
	memoryPeak: inBytes, filePeak: inBytes, heapMemory: inBytes, fileMemory: inBytes, bytesEach: inBytes,
	readyTime: seconds, servingTime: seconds, caughtUp: seconds, idleP99: seconds, compactedP99: seconds, compactTime: seconds,
	slowdown: times, killGap: seconds, stopGap: seconds,
}
