package output

import (
	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// protobuf is the encoded message itself, with nothing before or after it.
type protobuf struct{ c Config }

func (p protobuf) Put(r *clientv3.PutResponse) error { return p.message((*pb.PutResponse)(r)) }
func (p protobuf) Get(r *clientv3.GetResponse) error { return p.message((*pb.RangeResponse)(r)) }
func (p protobuf) Delete(r *clientv3.DeleteResponse) error {
	return p.message((*pb.DeleteRangeResponse)(r))
}
func (p protobuf) Txn(r *clientv3.TxnResponse) error { return p.message((*pb.TxnResponse)(r)) }

func (p protobuf) MemberList(r *clientv3.MemberListResponse) error {
	return p.message((*pb.MemberListResponse)(r))
}

func (p protobuf) MoveLeader(_, _ uint64, r *clientv3.MoveLeaderResponse) error {
	return p.message((*pb.MoveLeaderResponse)(r))
}

func (p protobuf) message(m proto.Message) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	_, err = p.c.Out.Write(b)
	return err
}
