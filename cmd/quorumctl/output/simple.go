package output

import (
	"fmt"
	"io"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// simple is the default format: keys and values on lines of their own, reports as comma-separated columns.
type simple struct{ c Config }

func (s simple) Put(r *clientv3.PutResponse) error {
	return s.put((*pb.PutResponse)(r))
}

func (s simple) Get(r *clientv3.GetResponse) error {
	return s.pairs((*pb.RangeResponse)(r).GetKvs())
}

func (s simple) Delete(r *clientv3.DeleteResponse) error {
	return s.delete((*pb.DeleteRangeResponse)(r))
}

func (s simple) Txn(r *clientv3.TxnResponse) error {
	verdict := "FAILURE"
	if r.Succeeded {
		verdict = "SUCCESS"
	}
	if _, err := fmt.Fprintln(s.c.Out, verdict); err != nil {
		return err
	}
	for _, op := range r.Responses {
		if _, err := fmt.Fprintln(s.c.Out); err != nil {
			return err
		}
		var err error
		switch op := op.GetResponse().(type) {
		case *pb.ResponseOp_ResponsePut:
			err = s.put(op.ResponsePut)
		case *pb.ResponseOp_ResponseRange:
			err = s.pairs(op.ResponseRange.GetKvs())
		case *pb.ResponseOp_ResponseDeleteRange:
			err = s.delete(op.ResponseDeleteRange)
		default:
			err = fmt.Errorf("print transaction: unexpected answer %T", op)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s simple) MemberList(r *clientv3.MemberListResponse) error {
	_, rows := memberRows(r)
	return s.columns(rows)
}

func (s simple) MoveLeader(from, to uint64, _ *clientv3.MoveLeaderResponse) error {
	return s.line("Leadership transferred from %x to %x", from, to)
}

func (s simple) Health(list []Health) error {
	for _, h := range list {
		out, line := s.c.Out, h.Endpoint+" is healthy: successfully committed proposal: took = "+h.Took
		if h.Error != "" {
			out, line = s.c.Err, h.Endpoint+" is unhealthy: failed to commit proposal: "+h.Error
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

func (s simple) Status(list []Status) error {
	_, rows := statusRows(list)
	return s.columns(rows)
}

func (s simple) HashKV(list []HashKV) error {
	_, rows := hashRows(list)
	return s.columns(rows)
}

func (s simple) put(r *pb.PutResponse) error {
	if _, err := fmt.Fprintln(s.c.Out, "OK"); err != nil {
		return err
	}
	if r.GetPrevKv() == nil {
		return nil
	}
	return s.pair(r.GetPrevKv())
}

func (s simple) delete(r *pb.DeleteRangeResponse) error {
	if _, err := fmt.Fprintln(s.c.Out, r.GetDeleted()); err != nil {
		return err
	}
	return s.pairs(r.GetPrevKvs())
}

func (s simple) pairs(kvs []*mvccpb.KeyValue) error {
	for _, kv := range kvs {
		if err := s.pair(kv); err != nil {
			return err
		}
	}
	return nil
}

func (s simple) pair(kv *mvccpb.KeyValue) error {
	if !s.c.ValueOnly {
		if err := s.bytesLine(kv.GetKey()); err != nil {
			return err
		}
	}
	return s.bytesLine(kv.GetValue())
}

func (s simple) bytesLine(b []byte) error {
	line := append([]byte(nil), b...)
	if s.c.Hex {
		line = line[:0]
		for _, c := range b {
			line = fmt.Appendf(line, `\x%02x`, c)
		}
	}
	_, err := s.c.Out.Write(append(line, '\n'))
	return err
}

func (s simple) columns(rows [][]string) error {
	for _, row := range rows {
		if _, err := io.WriteString(s.c.Out, strings.Join(row, ", ")+"\n"); err != nil {
			return err
		}
	}
	return nil
}
