package server

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/server/v3electionpb"
	"github.com/quorumkv/quorumkv/server/v3lockpb"
)

// registerQueueRoutes adds the lock and election services, whose generated routes etcd keeps inside its server module.
func registerQueueRoutes(_ context.Context, mux *runtime.ServeMux, conn *grpc.ClientConn) error {
	lock, election := v3lockpb.NewLockClient(conn), v3electionpb.NewElectionClient(conn)
	return errors.Join(
		unaryRoute(mux, "/v3/lock/lock", v3lockpb.Lock_Lock_FullMethodName, lock.Lock),
		unaryRoute(mux, "/v3/lock/unlock", v3lockpb.Lock_Unlock_FullMethodName, lock.Unlock),
		unaryRoute(mux, "/v3/election/campaign", v3electionpb.Election_Campaign_FullMethodName, election.Campaign),
		unaryRoute(mux, "/v3/election/proclaim", v3electionpb.Election_Proclaim_FullMethodName, election.Proclaim),
		unaryRoute(mux, "/v3/election/leader", v3electionpb.Election_Leader_FullMethodName, election.Leader),
		streamRoute(mux, "/v3/election/observe", v3electionpb.Election_Observe_FullMethodName, election.Observe),
		unaryRoute(mux, "/v3/election/resign", v3electionpb.Election_Resign_FullMethodName, election.Resign),
	)
}

// message is a pointer to a generated type.
type message[T any] interface {
	*T
	proto.Message
}

func unaryRoute[T any, Req message[T], Resp proto.Message](
	mux *runtime.ServeMux, path, method string, call func(context.Context, Req, ...grpc.CallOption) (Resp, error),
) error {
	return route(mux, path, method, func(ctx context.Context, out runtime.Marshaler, w http.ResponseWriter, r *http.Request, req Req) error {
		var md runtime.ServerMetadata
		resp, err := call(ctx, req, grpc.Header(&md.HeaderMD), grpc.Trailer(&md.TrailerMD))
		if err != nil {
			return err
		}
		runtime.ForwardResponseMessage(runtime.NewServerMetadataContext(ctx, md), mux, out, w, r, resp)
		return nil
	})
}

func streamRoute[T any, Req message[T], Resp any](
	mux *runtime.ServeMux, path, method string,
	call func(context.Context, Req, ...grpc.CallOption) (grpc.ServerStreamingClient[Resp], error),
) error {
	return route(mux, path, method, func(ctx context.Context, out runtime.Marshaler, w http.ResponseWriter, r *http.Request, req Req) error {
		stream, err := call(ctx, req)
		if err != nil {
			return err
		}
		header, err := stream.Header()
		if err != nil {
			return err
		}
		ctx = runtime.NewServerMetadataContext(ctx, runtime.ServerMetadata{HeaderMD: header})
		runtime.ForwardResponseStream(ctx, mux, out, w, r, func() (proto.Message, error) {
			resp, err := stream.Recv()
			return any(resp).(proto.Message), err
		})
		return nil
	})
}

// route decodes a request and answers with what serve returns, if that is an error.
func route[T any, Req message[T]](
	mux *runtime.ServeMux, path, method string,
	serve func(context.Context, runtime.Marshaler, http.ResponseWriter, *http.Request, Req) error,
) error {
	return mux.HandlePath(http.MethodPost, path, func(w http.ResponseWriter, r *http.Request, _ map[string]string) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		in, out := runtime.MarshalerForRequest(mux, r)
		ctx, err := runtime.AnnotateContext(ctx, mux, r, method, runtime.WithHTTPPathPattern(path))
		if err != nil {
			runtime.HTTPError(r.Context(), mux, out, w, r, err)
			return
		}
		req := Req(new(T))
		if err := in.NewDecoder(r.Body).Decode(req); err != nil && !errors.Is(err, io.EOF) {
			runtime.HTTPError(ctx, mux, out, w, r, status.Error(codes.InvalidArgument, err.Error()))
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // as the generated routes do: what follows the message is passed over
		if err := serve(ctx, out, w, r, req); err != nil {
			runtime.HTTPError(ctx, mux, out, w, r, err)
		}
	})
}
