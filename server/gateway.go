package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	gw "go.etcd.io/etcd/api/v3/etcdserverpb/gw"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
)

// bodyFactor is how much longer than the message in it a JSON text may be: its bytes are base64, and whatever a client
// wrote as escapes.
const bodyFactor = 8

// newGateway serves each gRPC method under its path below /v3/, with JSON in place of protobuf, through the member's
// connection to itself. Paths and forms are those that etcd generates from its protobuf files; its runtime, the same here,
// decides on codes and headers.
func newGateway(a *api) http.Handler {
	limit := bodyFactor * int64(a.limits.RequestBytes+messageOverheadBytes)
	mux := runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard, boundedMarshaler{
		Marshaler: &runtime.HTTPBodyMarshaler{Marshaler: &runtime.JSONPb{
			MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true},
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: true},
		}},
		limit: limit,
	}))
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		gw.RegisterKVHandler, gw.RegisterWatchHandler, gw.RegisterLeaseHandler, gw.RegisterClusterHandler,
		gw.RegisterMaintenanceHandler, gw.RegisterAuthHandler, registerQueueRoutes,
	} {
		if err := register(context.Background(), mux, a.self.conn); err != nil {
			panic(fmt.Sprintf("server: gateway: %v", err)) // only its constants could be wrong
		}
	}
	return &socketBridge{next: mux, limit: limit, guard: a.guard}
}

// withoutBeta serves the paths of etcd 3.3 under those of today.
func withoutBeta(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.Path, "/v3beta/"); ok {
			r.URL.Path = "/v3/" + rest
		}
		next.ServeHTTP(w, r)
	})
}

// boundedMarshaler bounds each message that is read: all of its text is kept until its end is found.
type boundedMarshaler struct {
	runtime.Marshaler
	limit int64
}

func (m boundedMarshaler) NewDecoder(r io.Reader) runtime.Decoder {
	bounded := &boundedReader{r: r, limit: m.limit}
	d := m.Marshaler.NewDecoder(bounded)
	return runtime.DecoderFunc(func(v any) error {
		bounded.left = bounded.limit
		return d.Decode(v)
	})
}

// boundedReader fails for who never comes to the end of a message.
type boundedReader struct {
	r           io.Reader
	limit, left int64 // bytes of one message
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("message is too large: its JSON has more than %d bytes", b.limit)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
