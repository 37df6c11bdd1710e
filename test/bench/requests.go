package main

import (
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/test/bench/h2"
)

// etcd's client costs about as much as a server does, and gRPC's half of that. These measurements are of servers, with the
// clients on the same cores, so they use a client that does little: requests are encoded beforehand, and of a response only
// what is counted is looked at.

// encoded is a request that is ready to be sent.
type encoded []byte

func encode(m proto.Message) encoded {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err) // a message made here
	}
	return b
}

// keyBytes is the length of every key.
const keyBytes = 8

// setKey puts the key of that number into a request which has a key, as its first field.
func (e encoded) setKey(number int) {
	const begin = 2 // after the field's number and the key's length
	for i := begin + keyBytes - 1; i >= begin; i-- {
		e[i] = '0' + byte(number%10)
		number /= 10
	}
}

// response is what a response is scanned into.
type response = h2.Message

const (
	putMethod       = "/etcdserverpb.KV/Put"
	rangeMethod     = "/etcdserverpb.KV/Range"
	txnMethod       = "/etcdserverpb.KV/Txn"
	watchMethod     = "/etcdserverpb.Watch/Watch"
	keepAliveMethod = "/etcdserverpb.Lease/LeaseKeepAlive"
)

// dial returns a connection for encoded requests. It is closed when h ends, or earlier.
func dial(h *host, addr string) *h2.Conn {
	conn := h2.New(addr)
	h.Cleanup(conn.Close)
	return conn
}
