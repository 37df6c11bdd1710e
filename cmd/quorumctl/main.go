// Command quorumctl is the client and operator of a QuorumKV cluster, and of any other server of the etcd v3 API. It
// takes etcdctl 3.7's commands, flags and environment variables and prints etcdctl's output byte for byte, so that
// scripts written for the one work with the other.
//
// Rules that hold for every command:
//   - Arguments are checked, and an output format that cannot show the answer is refused, before a request is sent.
//   - Standard output carries the answer only. Standard error carries `Error: <what>` in etcdctl's words on its first
//     line, and below it one `Hint: <what to do next>` line per thing that can be done.
//   - Exit codes are etcdctl's; see errors.go.
//   - A flag wins over QUORUMCTL_<FLAG>, which wins over ETCDCTL_<FLAG>.
//
// Each command lives in a file of its own name: its flags, the request it makes of them, and its call. session.go
// holds what they share, package output what they print.
package main

import "os"

func main() {
	a := newApp(os.Stdin, os.Stdout, os.Stderr, os.Environ())
	code := a.run(os.Args[1:])
	if a.endedBy != nil {
		dieOf(a.endedBy)
	}
	os.Exit(code)
}
