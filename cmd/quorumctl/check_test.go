package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// TestJudge prints the result of a check of 100 writes a second, in etcdctl's words.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name   string
		took   []time.Duration
		total  time.Duration
		errors []error
		want   string
	}{
		{"good", repeatDuration(95, 10*time.Millisecond), time.Second, nil, "" +
			"PASS: Throughput is 96 writes/s\nPASS: Slowest request took 0.010000s\nPASS: Stddev is 0.000000s\n"},
		{"too few", repeatDuration(90, 10*time.Millisecond), time.Second, nil, "" +
			"FAIL: Throughput too low: 91 writes/s\nPASS: Slowest request took 0.010000s\nPASS: Stddev is 0.000000s\n"},
		{"one too slow", append(repeatDuration(99, 10*time.Millisecond), 501*time.Millisecond), time.Second, nil, "" +
			"PASS: Throughput is 101 writes/s\nSlowest request took too long: 0.501000s\nPASS: Stddev is 0.048854s\n"},
		{"uneven", append(repeatDuration(50, 0), repeatDuration(50, 300*time.Millisecond)...), time.Second, nil, "" +
			"PASS: Throughput is 101 writes/s\nPASS: Slowest request took 0.300000s\nStddev too high: 0.150000s\n"},
		{"errors", repeatDuration(95, 10*time.Millisecond), time.Second,
			[]error{errors.New("b"), errors.New("a"), errors.New("b")}, "" +
				"FAIL: too many errors\nFAIL: ERROR(a) -> 1\nFAIL: ERROR(b) -> 2\n" +
				"PASS: Throughput is 96 writes/s\nPASS: Slowest request took 0.010000s\nPASS: Stddev is 0.000000s\n"},
		{"nothing", nil, time.Second, nil, "" +
			"FAIL: Throughput too low: 1 writes/s\nPASS: Slowest request took 0.000000s\nPASS: Stddev is 0.000000s\n"},
	} {
		s := newSamples()
		for _, took := range c.took {
			s.add(took, nil)
		}
		for _, err := range c.errors {
			s.add(time.Hour, err)
		}
		s.total = c.total
		var out bytes.Buffer
		passed := (&check{app: newApp(nil, &out, nil, nil)}).judge(s, 100)
		if out.String() != c.want || passed != (c.name == "good") {
			t.Errorf("%s: passed: %v\ngot\n%swant\n%s", c.name, passed, out.String(), c.want)
		}
	}
}

func repeatDuration(n int, d time.Duration) []time.Duration {
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = d
	}
	return all
}

func TestFindMemory(t *testing.T) {
	for metrics, want := range map[string]float64{
		"# HELP process_resident_memory_bytes x\nprocess_resident_memory_bytes_total 7\nprocess_resident_memory_bytes 2.5e+07\n": 2.5e7,
		"process_resident_memory_bytes many\n": -1,
		"go_goroutines 5\n":                    -1,
	} {
		got, err := findMemory(strings.NewReader(metrics))
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: got %v (%v), want %v", metrics, got, err, want)
		}
	}
}

// TestChecksCleanUp interrupts a check in the middle: it says so, and its keys are gone.
func TestChecksCleanUp(t *testing.T) {
	f := startFake(t)
	var stdout, stderr bytes.Buffer
	a := newApp(strings.NewReader(""), &stdout, &stderr, nil)
	interruptOnOutput(a)
	code := a.run([]string{"check", "datascale", "--load", "xl", "--prefix", "/etcdctl-check-x/", "--endpoints", f.address})
	if code != exitInterrupted || !strings.HasPrefix(stderr.String(), "Error: interrupted\n") {
		t.Errorf("exit code %d\n%s%s", code, stdout.String(), stderr.String())
	}
	requests := f.take()
	if strings.Contains(stderr.String(), "still there") {
		t.Errorf("the keys are gone, and it says\n%s", stderr.String())
	}
	if last := requests[len(requests)-1]; !strings.HasPrefix(last, `DeleteRange key:"/etcdctl-check-x/"`) {
		t.Errorf("the last request is %s", last)
	}
}

// TestCheckThatCannotCleanUp may not delete its keys when it is interrupted: it does not say that they are gone.
func TestCheckThatCannotCleanUp(t *testing.T) {
	f := startFake(t)
	f.fail("DeleteRange", codes.PermissionDenied, "etcdserver: permission denied")
	var stdout, stderr bytes.Buffer
	a := newApp(strings.NewReader(""), &stdout, &stderr, nil)
	a.notify = func(c chan<- os.Signal, _ ...os.Signal) { c <- syscall.SIGINT }
	code := a.run([]string{"check", "perf", "--endpoints", f.address})
	if code != exitInterrupted || !strings.Contains(stderr.String(), "the keys of the check are still there") ||
		!strings.Contains(stdout.String(), "FAIL: Cleanup failed during key deletion: ERROR(etcdserver: permission denied)") {
		t.Errorf("exit code %d\n%s%s", code, stdout.String(), stderr.String())
	}
}
