package history

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func example() *History {
	e := Event{At: time.Second, Revision: 12, Key: "d/k\x00\n", Value: "<v1>", Lease: 7, Created: 12, Version: 1}
	return &History{
		Prefix: "d/", Members: []string{"n1", "n2"}, First: 11, Last: 13, Compacted: 12,
		Ops: []Op{
			{ID: 1, Client: 2, Member: "n1", Kind: Put, Key: "d/k\x00\n", Value: "<v1>", Lease: 7, Begin: 1, End: 2, Outcome: OK,
				Revision: 12, Term: 3},
			{ID: 2, Client: 3, Member: "n2", Kind: Swap, Key: "d/k", Value: "v2", Expected: 12, Begin: 3, End: 4, Outcome: Unknown,
				Error: "deadline exceeded"},
		},
		Watches: []Watch{{Watcher: 1, Member: "n2", Prefix: "d/", From: 12, Begin: 1, End: 9, Error: "cut",
			Batches: []Batch{{At: 5, Revision: 12, Events: []Event{e}}, {At: 6, Revision: 13}}}},
		Leases: []Lease{{ID: 7, TTL: time.Second, Key: "d/k", Asked: 1, Granted: 2,
			Renewals: []Renewal{{Member: "n1", Begin: 3, End: 4, Confirmed: true}, {Member: "n1", Begin: 5, End: 6, Gone: true}}}},
		Polls:  []Poll{{At: 1, Member: "n1", ID: 1<<64 - 1, Leader: 4, Term: 5, Applied: 6}, {At: 2, Member: "n2", Error: "down"}},
		Claims: []Claim{{Member: "n1", Leader: 4, Term: 5}},
		Faults: []Fault{{At: 1, Until: 2, Round: 1, Members: []string{"n1"}, What: "killed"}},
		Starts: []Start{{At: 2, Member: "n1"}},
		Truth:  []Event{e, {Revision: 13, Key: "d/k", Deleted: true}},
		Dumps:  map[string][]Event{"n1": {e}, "n2": {}},
		Hashes: []Hash{{Member: "n1", Revision: 13, Compact: 12, Hash: 1<<32 - 1}},
	}
}

func TestRoundTrip(t *testing.T) {
	for name, h := range map[string]*History{"full": example(), "empty": {}} {
		var b, again bytes.Buffer
		if err := Write(&b, h); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		got, err := Read(iotest.OneByteReader(&b))
		if err != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("%s: read %+v, %v; wrote %+v", name, got, err, h)
		}
		if err := Write(&again, got); err != nil || again.String() != text {
			t.Errorf("%s: written again, it differs (%v)", name, err)
		}
	}
}

// Every field of a history has to be written: one that is forgotten would be lost without a word.
func TestExampleIsFull(t *testing.T) {
	v := reflect.ValueOf(*example())
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the example has no %s", v.Type().Field(i).Name)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	const head = `{"quorumkv_drill_history":2,"prefix":"d/"}` + "\n"
	for text, want := range map[string]string{
		"":                                    "line 1: the file is empty",
		"{}\n":                                `line 1: this is no drill's history: no "quorumkv_drill_history" in it`,
		"hello\n":                             "line 1: this is no drill's history: ",
		`{"quorumkv_drill_history":9}` + "\n": "line 1: format 9, this program reads 2: use the version that wrote it",
		head + `{"op":{"id":1}`:               "line 2: cut off in the middle",
		head + `{"op":{"id":1}}` + "\n" + "null\n":                "line 3: 0 things in a line, want one",
		head + `{"op":{"id":"x"}}` + "\n":                         "line 2: json: cannot unmarshal string",
		head + `{"oops":{}}` + "\n":                               `line 2: json: unknown field "oops"`,
		head + `{"op":{},"poll":{}}` + "\n":                       "line 2: 2 things in a line, want one",
		head + `{"op":{}} 1` + "\n":                               "line 2: something stands behind the object",
		head + strings.Repeat(`{"dump":{"member":"n1"}}`+"\n", 2): `line 3: a second dump of member "n1"`,
	} {
		if h, err := Read(strings.NewReader(text)); h != nil || err == nil || !strings.HasPrefix(err.Error(), "read history: "+want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	broken := errors.New("broken")
	if _, err := Read(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a reader's error became %v", err)
	}
	if err := Write(failing{broken}, example()); !errors.Is(err, broken) {
		t.Errorf("a writer's error became %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Whatever is read can be written, and reads the same.
func FuzzRead(f *testing.F) {
	for _, h := range []*History{example(), {}} {
		var b bytes.Buffer
		if err := Write(&b, h); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		if err := Write(&first, h); err != nil {
			t.Fatal(err)
		}
		again, err := Read(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatalf("%v in %q", err, first.String())
		}
		if err := Write(&second, again); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("%v: %q became %q", err, first.String(), second.String())
		}
	})
}
