// Package peerpb holds the wire messages between nodes, generated from peer.proto. They are plain data: any package may
// use them.
package peerpb

//go:generate sh -c "protoc -I . -I $(go list -m -f '{{.Dir}}' go.etcd.io/raft/v3)/raftpb --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative peer.proto"
