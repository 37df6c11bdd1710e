// Package drillpb holds the messages and the service with which drills set faults in a running member, generated from
// drill.proto, and what turns them into rules and back. They are plain data: any package may use them.
package drillpb

//go:generate sh -c "protoc -I . --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative drill.proto"
