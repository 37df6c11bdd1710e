package h2

import (
	"bytes"
	"fmt"
	"net/url"
	"strconv"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// encoder makes the headers of requests. From the second time on, those of a method are the same bytes, each an index into the
// table that both sides keep.
type encoder struct {
	addr  string
	hpack *hpack.Encoder
	out   *bytes.Buffer
	known map[string][]byte // by method
}

func newEncoder(addr string) encoder {
	out := &bytes.Buffer{}
	return encoder{addr, hpack.NewEncoder(out), out, map[string][]byte{}}
}

// encode returns the headers of a request. They are valid until the next are encoded.
func (e *encoder) encode(method string) []byte {
	if block, ok := e.known[method]; ok {
		return block
	}
	e.out.Reset()
	for _, f := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: method},
		{Name: ":authority", Value: e.addr},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "user-agent", Value: "quorumkv-bench"},
		{Name: "te", Value: "trailers"},
	} {
		_ = e.hpack.WriteField(f) // a bytes.Buffer takes all
	}
	block := e.out.Bytes()
	if indexed(block) {
		e.known[method] = bytes.Clone(block)
	} else {
		clear(e.known) // what enters the table moves what is there
	}
	return block
}

// limit is how large the peer lets the table be.
func (e *encoder) limit(bytes uint32) {
	e.hpack.SetMaxDynamicTableSizeLimit(bytes)
	clear(e.known)
}

// indexed says that a block has nothing but indices of one byte, so that it neither changes the table nor depends on anything
// else.
func indexed(block []byte) bool {
	for _, b := range block {
		if b < 0x80 || b == 0xff {
			return false
		}
	}
	return true
}

// answer is what the headers of a response say: nil is that all is well.
type answer struct {
	headers  error // when they come before data
	trailers error // when they are the last
}

// decoder reads the headers of responses. What it has read comes again and again: see encoder.
type decoder struct {
	hpack *hpack.Decoder
	known map[string]answer
}

// tableBytes is what the peer may use of a table, the default.
const tableBytes = 4096

func newDecoder() decoder {
	return decoder{hpack.NewDecoder(tableBytes, nil), map[string]answer{}}
}

func (d *decoder) decode(block []byte) (answer, error) {
	if a, ok := d.known[string(block)]; ok {
		return a, nil
	}
	fields, err := d.hpack.DecodeFull(block)
	if err != nil {
		return answer{}, fmt.Errorf("decode headers: %w", err)
	}
	a := interpret(fields)
	if indexed(block) {
		d.known[string(block)] = a
	} else {
		clear(d.known)
	}
	return a, nil
}

func interpret(fields []hpack.HeaderField) answer {
	http, code, message := "", "", ""
	for _, f := range fields {
		switch f.Name {
		case ":status":
			http = f.Value
		case "grpc-status":
			code = f.Value
		case "grpc-message":
			message = f.Value
		}
	}
	if http != "" && http != "200" {
		err := status.Errorf(codes.Unknown, "HTTP status %s", http)
		return answer{err, err}
	}
	if code == "" {
		return answer{trailers: status.Error(codes.Internal, "the answer has no gRPC status")}
	}
	n, err := strconv.ParseUint(code, 10, 32)
	if err != nil {
		return answer{trailers: status.Errorf(codes.Internal, "the answer has the gRPC status %q", code)}
	}
	if decoded, err := url.PathUnescape(message); err == nil {
		message = decoded
	}
	return answer{trailers: status.Error(codes.Code(n), message)}
}
