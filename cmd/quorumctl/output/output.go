// Package output writes responses of the etcd v3 API in the formats of etcdctl 3.7: simple, fields, json, table and
// protobuf. Scripts parse these bytes, so they are an interface: the golden files under testdata were checked against
// a real etcdctl, and a change in one of them is a change that users will notice.
//
// Invariants:
//   - A format that cannot show a kind of response is refused when the printer is made, so a command learns it before
//     it sends a request.
//   - Everything a printer writes goes to Config.Out, except the unhealthy endpoints of the simple format, which
//     etcdctl has always written to standard error.
//
// No printer keeps state between calls; none is safe for concurrent use.
package output

import (
	"errors"
	"fmt"
	"io"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Config says where and how to print.
type Config struct {
	Out    io.Writer // responses
	Err    io.Writer // what etcdctl's simple format sends to standard error
	Format string    // one of Formats
	Hex    bool      // keys and values of the simple format, and ids elsewhere, in hexadecimal

	// ValueOnly leaves the keys out. Only the simple format knows it.
	ValueOnly bool
}

// Formats are the accepted values of Config.Format, in the order help shows them.
var Formats = []string{"fields", "json", "protobuf", "simple", "table"}

// ErrUnknownFormat means that Config.Format is none of Formats.
var ErrUnknownFormat = errors.New("unsupported output format")

// UnsupportedError means that a format exists but cannot show this kind of response.
type UnsupportedError struct {
	Format  string
	Allowed []string
}

func (e *UnsupportedError) Error() string { return e.Format + " not supported as output format" }

// KV prints the answers of the key-value commands.
type KV interface {
	Put(*clientv3.PutResponse) error
	Get(*clientv3.GetResponse) error
	Delete(*clientv3.DeleteResponse) error
	Txn(*clientv3.TxnResponse) error
}

// Members prints membership.
type Members interface {
	MemberList(*clientv3.MemberListResponse) error
}

// Leaders prints that another member leads.
type Leaders interface {
	MoveLeader(from, to uint64, r *clientv3.MoveLeaderResponse) error
}

// Endpoints prints what was asked of every endpoint in turn.
type Endpoints interface {
	Health([]Health) error
	Status([]Status) error
	HashKV([]HashKV) error
}

// Health is the verdict on one endpoint. The JSON names are etcdctl's.
type Health struct {
	Endpoint string `json:"endpoint"`
	Healthy  bool   `json:"health"`
	Took     string `json:"took"` // a Go duration; empty when no request could be sent
	Error    string `json:"error,omitempty"`
}

// Status is one endpoint's answer to Maintenance.Status.
type Status struct {
	Endpoint string                   `json:"Endpoint"`
	Response *clientv3.StatusResponse `json:"Status"`
}

// HashKV is one endpoint's answer to Maintenance.HashKV.
type HashKV struct {
	Endpoint string                   `json:"Endpoint"`
	Response *clientv3.HashKVResponse `json:"HashKV"`
}

// withoutTable picks one of the printers for answers that have every format but table.
func withoutTable[P any](c Config, inFields, inJSON, inProtobuf, inSimple P) (p P, err error) {
	if err := c.check("fields", "json", "protobuf", "simple"); err != nil {
		return p, err
	}
	switch c.Format {
	case "fields":
		return inFields, nil
	case "json":
		return inJSON, nil
	case "protobuf":
		return inProtobuf, nil
	default:
		return inSimple, nil
	}
}

// NewKV returns a printer for key-value answers: every format but table.
func NewKV(c Config) (KV, error) {
	return withoutTable[KV](c, fields{c}, jsonFormat{c}, protobuf{c}, simple{c})
}

// NewMembers returns a printer for membership: every format.
func NewMembers(c Config) (Members, error) {
	if err := c.check(Formats...); err != nil {
		return nil, err
	}
	switch c.Format {
	case "fields":
		return fields{c}, nil
	case "json":
		return jsonFormat{c}, nil
	case "protobuf":
		return protobuf{c}, nil
	case "table":
		return table{c}, nil
	default:
		return simple{c}, nil
	}
}

// NewLeaders returns a printer for transfers of leadership: every format but fields and table.
func NewLeaders(c Config) (Leaders, error) {
	if err := c.check("json", "protobuf", "simple"); err != nil {
		return nil, err
	}
	switch c.Format {
	case "json":
		return jsonFormat{c}, nil
	case "protobuf":
		return protobuf{c}, nil
	default:
		return simple{c}, nil
	}
}

// NewEndpoints returns a printer for endpoint reports: every format but protobuf.
func NewEndpoints(c Config) (Endpoints, error) {
	if err := c.check("fields", "json", "simple", "table"); err != nil {
		return nil, err
	}
	switch c.Format {
	case "fields":
		return fields{c}, nil
	case "json":
		return jsonFormat{c}, nil
	case "table":
		return table{c}, nil
	default:
		return simple{c}, nil
	}
}

// Text is a printer of plain lines that no format changes.
type Text struct{ c Config }

// NewText accepts every format of Formats and ignores it, as etcdctl does for its one-line answers.
func NewText(c Config) (Text, error) {
	return Text{c}, c.check(Formats...)
}

// Compaction confirms a compaction.
func (t Text) Compaction(revision int64) error {
	_, err := fmt.Fprintln(t.c.Out, "compacted revision", revision)
	return err
}

func (c Config) check(allowed ...string) error {
	switch {
	case slices.Contains(allowed, c.Format):
		return nil
	case slices.Contains(Formats, c.Format):
		return &UnsupportedError{Format: c.Format, Allowed: allowed}
	default:
		return ErrUnknownFormat
	}
}
