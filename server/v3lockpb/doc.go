// Package v3lockpb holds the messages and the service of etcd's lock API, generated from lock.proto. etcd publishes them
// only inside its server module, so they are written down here again; names and numbers are the wire format.
//
// A program that links this package and etcd's own copy panics when it starts, because both register the same names. The
// test module, where etcd's server lives, talks to this one over the network only.
package v3lockpb

//go:generate sh -c "cd .. && protoc -I . -I v3lockpb --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative v3lockpb/lock.proto"
