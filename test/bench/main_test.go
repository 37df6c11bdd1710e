package main

import (
	"slices"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"-rows=put-1,restart", "-rounds=7", "-duration=9s"})
	if err != nil || !slices.Equal(o.rows, []string{"put-1", "restart"}) || o.size.rounds != 7 || o.size.duration != 9*time.Second {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = parse([]string{"-quick"}); err != nil || !slices.Equal(o.rows, quickRows) || o.size.rounds != 3 {
		t.Errorf("quick: %+v, %v", o, err)
	}
	if o, err = parse([]string{"-growth", "-rows=keys"}); err != nil || !slices.Equal(o.rows, []string{"keys"}) {
		t.Errorf("growth: %+v, %v", o, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{{"-rows=get"}, {"-rows=put-1,"}, {"-growth", "-rows=put-1"}, {"-rows=keys"}, {"-rounds=-1"}, {"-systems=zookeeper"}, {"-systems=etcd", "-results=x"}, {"-large=-1"},
		{"-duration=-1s"}, {"-resume"}, {"put-1"}, {"-no-such-flag"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

func TestGroups(t *testing.T) {
	all, err := groups([]string{"compaction", "put-1", "restart", "failover", "put-1"})
	var got [][]string
	for _, group := range all {
		var names []string
		for _, r := range group {
			names = append(names, r.name)
		}
		got = append(got, names)
	}
	want := [][]string{{"put-1"}, {"restart", "compaction"}, {"failover"}}
	if err != nil || !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}
