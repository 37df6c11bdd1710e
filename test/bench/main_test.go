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
	for document, args := range map[string][]string{"x": {"-document=x"}, "": {"-document=x", "-rows=put-1"}} {
		if o, err = parse(args); err != nil || o.document != document {
			t.Errorf("%q: the report goes to %q, %v, want %q", args, o.document, err, document)
		}
	}
	if o, err = parse([]string{"-growth", "-rows=keys"}); err != nil || !slices.Equal(o.rows, []string{"keys"}) {
		t.Errorf("growth: %+v, %v", o, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-rows=get"}, {"-rows=put-1,"}, {"-rows=keys"}, {"-growth", "-rows=put-1"},
		{"-rounds=-1"}, {"-duration=-1s"}, {"-large=-1"},
		{"-systems=zookeeper"}, {"-systems=etcd", "-results=x"}, {"-systems=etcd", "-document=x"}, {"-systems=etcd", "-growth"},
		{"-resume"}, {"put-1"}, {"-no-such-flag"},
	} {
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
