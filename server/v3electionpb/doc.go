// Package v3electionpb holds the messages and the service of etcd's election API, generated from election.proto. See
// package v3lockpb for why it is here, and for what must not be linked together with it.
package v3electionpb

//go:generate sh -c "cd .. && protoc -I . -I v3lockpb --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative v3electionpb/election.proto"
