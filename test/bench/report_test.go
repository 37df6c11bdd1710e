package main

import (
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	o, err := parse([]string{"-clients", "7", "-rounds", "3", "-ops", "put"})
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(o)
	for _, ops := range []int{400, 200, 1000} {
		r.add("put", 7, "quorumkv", result{ops: ops, elapsed: time.Second, cpu: time.Second, p50: 1234567, p99: 23456789})
		r.add("put", 7, "etcd", result{ops: ops / 2, elapsed: time.Second, errors: 1, p50: 999, p99: 3 * time.Second})
	}
	var out strings.Builder
	r.write(&out)
	for _, want := range []string{
		"| put | 7 | quorumkv | 400 (200–1000) | 1.235ms | 23.5ms | 2.5ms | 0 | 2.00 |\n",
		"| put | 7 | etcd | 200 (100–500) | 1µs | 3s | 0s | 3 |  |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, args := range []string{"-clients=0", "-clients=1,x", "-ops=get", "-systems=zookeeper", "-rounds=0", "-no-such-flag"} {
		if _, err := parse([]string{args}); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
}

func TestHostCleansUp(t *testing.T) {
	var out strings.Builder
	var order []string
	code := newHost(&out).run(func(h *host) {
		h.Cleanup(func() { order = append(order, "first") })
		h.Cleanup(func() { order = append(order, "second") })
		h.Fatalf("no %s", "luck")
	})
	if code != 1 || strings.Join(order, " ") != "second first" || out.String() != "bench: no luck\n" {
		t.Errorf("exit code %d, cleanups %v, output %q", code, order, out.String())
	}
}
