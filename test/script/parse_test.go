package script

import (
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

func TestParse(t *testing.T) {
	tests := []struct{ script, want string }{
		{`put a 1`, `key: "a" value: "1"`},
		{`put "a b" "" prev_kv lease=-1`, `key: "a b" lease: -1 prev_kv: true`},
		{`range k prefix(k) limit=3 rev=+2 sort=descend:mod`,
			`key: "k" range_end: "l" limit: 3 revision: 102 sort_order: DESCEND sort_target: MOD`},
		{`range "\x00" "\x00" keys_only min_mod=-1 max_create=7 rev=minus1`,
			`key: "\x00" range_end: "\x00" keys_only: true min_mod_revision: 99 max_create_revision: 7 revision: -1`},
		{`del a=b c`, `key: "a=b" range_end: "c"`},
		{`compact +0 physical`, `revision: 100 physical: true`},
		{"txn\nif mod a ..c > +1\nif value b = unset\nput x 1\nelse\nmany 2 range k#\ntxn\nempty\nend\nend", `
			compare: {target: MOD result: GREATER key: "a" range_end: "c" mod_revision: 101}
			compare: {target: VALUE key: "b"}
			success: {request_put: {key: "x" value: "1"}}
			failure: {request_range: {key: "k0"}} failure: {request_range: {key: "k1"}}
			failure: {request_txn: {success: {}}}`},
	}
	for _, tt := range tests {
		p := &parser{lines: strings.Split("# a comment\n\n"+tt.script, "\n"), base: 100}
		s, ok, err := p.statement()
		if err != nil || !ok {
			t.Errorf("%s: %v (found: %v)", tt.script, err, ok)
			continue
		}
		got := s.request.(proto.Message)
		want := got.ProtoReflect().New().Interface()
		if err := prototext.Unmarshal([]byte(tt.want), want); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(got, want) {
			t.Errorf("%s:\n%v, want\n%v", tt.script, got, want)
		}
		if _, more, err := p.statement(); more || err != nil {
			t.Errorf("%s: more follows (%v)", tt.script, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, script := range []string{
		"get a", `put "a`, "range a limit=x", "range a sort=upwards", "compact", "txn\nput a 1", "txn\nif mod a\nend",
		"txn\nif size a = 1\nend", "txn\nif mod a ~ 1\nend", "txn\ncompact 1\nend", "@x put a 1", "many put a 1",
	} {
		p := &parser{lines: strings.Split(script, "\n")}
		if s, _, err := p.statement(); err == nil {
			t.Errorf("%q is accepted: %v", script, s.request)
		}
	}
}

func TestHeader(t *testing.T) {
	s := &Session{clusterID: 1, base: 10}
	good := &pb.ResponseHeader{ClusterId: 1, MemberId: 2, RaftTerm: 3, Revision: 12}
	if got := s.header(Node{MemberID: 2}, good); got != "rev=+2" {
		t.Errorf("header prints %q", got)
	}
	for name, bad := range map[string]*pb.ResponseHeader{
		"none":          nil,
		"other cluster": {ClusterId: 9, MemberId: 2, RaftTerm: 3},
		"other member":  {ClusterId: 1, MemberId: 9, RaftTerm: 3},
		"earlier term":  {ClusterId: 1, MemberId: 2, RaftTerm: 2},
	} {
		if got := s.header(Node{MemberID: 2}, bad); !strings.HasSuffix(got, "!\n") {
			t.Errorf("%s: %q is no complaint", name, got)
		}
	}
}
