package output

import (
	"bytes"
	"fmt"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// fields is the format of one `"Name" : value` line per field. Lists repeat their fields; endpoint and member entries
// end with an empty line.
type fields struct{ c Config }

func (f fields) Put(r *clientv3.PutResponse) error {
	var p page
	f.put(&p, (*pb.PutResponse)(r))
	return f.flush(&p)
}

func (f fields) Get(r *clientv3.GetResponse) error {
	var p page
	f.get(&p, (*pb.RangeResponse)(r))
	return f.flush(&p)
}

func (f fields) Delete(r *clientv3.DeleteResponse) error {
	var p page
	f.delete(&p, (*pb.DeleteRangeResponse)(r))
	return f.flush(&p)
}

func (f fields) Txn(r *clientv3.TxnResponse) error {
	var p page
	f.header(&p, r.Header)
	p.value("Succeeded", r.Succeeded)
	for _, op := range r.Responses {
		switch op := op.GetResponse().(type) {
		case *pb.ResponseOp_ResponsePut:
			f.put(&p, op.ResponsePut)
		case *pb.ResponseOp_ResponseRange:
			f.get(&p, op.ResponseRange)
		case *pb.ResponseOp_ResponseDeleteRange:
			f.delete(&p, op.ResponseDeleteRange)
		default:
			return fmt.Errorf("print transaction: unexpected answer %T", op)
		}
	}
	return f.flush(&p)
}

func (f fields) MemberList(r *clientv3.MemberListResponse) error {
	var p page
	f.header(&p, r.Header)
	for _, m := range r.Members {
		p.value("ID", f.id(m.GetID()))
		p.quoted("Name", m.GetName())
		for _, u := range m.GetPeerURLs() {
			p.quoted("PeerURL", u)
		}
		for _, u := range m.GetClientURLs() {
			p.quoted("ClientURL", u)
		}
		p.value("IsLearner", m.GetIsLearner())
		p.gap()
	}
	return f.flush(&p)
}

func (f fields) Health(list []Health) error {
	var p page
	for _, h := range list {
		p.quoted("Endpoint", h.Endpoint)
		p.value("Health", h.Healthy)
		p.value("Took", h.Took)
		p.value("Error", h.Error)
		p.gap()
	}
	return f.flush(&p)
}

func (f fields) Status(list []Status) error {
	var p page
	for _, s := range list {
		r := (*pb.StatusResponse)(s.Response)
		f.header(&p, r.GetHeader())
		p.quoted("Version", r.GetVersion())
		p.quoted("StorageVersion", r.GetStorageVersion())
		p.value("DBSize", r.GetDbSize())
		p.value("DBSizeInUse", r.GetDbSizeInUse())
		p.value("DBSizeQuota", r.GetDbSizeQuota())
		p.value("Leader", r.GetLeader())
		p.value("IsLearner", r.GetIsLearner())
		p.value("RaftIndex", r.GetRaftIndex())
		p.value("RaftAppliedIndex", r.GetRaftAppliedIndex())
		p.value("Errors", r.GetErrors())
		p.quoted("Endpoint", s.Endpoint)
		p.quoted("DowngradeTargetVersion", r.GetDowngradeInfo().GetTargetVersion())
		p.value("DowngradeEnabled", r.GetDowngradeInfo().GetEnabled())
		p.gap()
	}
	return f.flush(&p)
}

func (f fields) HashKV(list []HashKV) error {
	var p page
	for _, h := range list {
		r := (*pb.HashKVResponse)(h.Response)
		f.header(&p, r.GetHeader())
		p.quoted("Endpoint", h.Endpoint)
		p.value("Hash", r.GetHash())
		p.value("HashRevision", r.GetHashRevision())
		p.gap()
	}
	return f.flush(&p)
}

func (f fields) put(p *page, r *pb.PutResponse) {
	f.header(p, r.GetHeader())
	if r.GetPrevKv() != nil {
		f.pair(p, "Prev", r.GetPrevKv())
	}
}

func (f fields) get(p *page, r *pb.RangeResponse) {
	f.header(p, r.GetHeader())
	for _, kv := range r.GetKvs() {
		f.pair(p, "", kv)
	}
	p.value("More", r.GetMore())
	p.value("Count", r.GetCount())
}

func (f fields) delete(p *page, r *pb.DeleteRangeResponse) {
	f.header(p, r.GetHeader())
	p.value("Deleted", r.GetDeleted())
	for _, kv := range r.GetPrevKvs() {
		f.pair(p, "Prev", kv)
	}
}

// header leaves out a revision of zero: it means that the answer is not about keys.
func (f fields) header(p *page, h *pb.ResponseHeader) {
	p.value("ClusterID", f.id(h.GetClusterId()))
	p.value("MemberID", f.id(h.GetMemberId()))
	if h.GetRevision() > 0 {
		p.value("Revision", h.GetRevision())
	}
	p.value("RaftTerm", h.GetRaftTerm())
}

func (f fields) pair(p *page, prefix string, kv *mvccpb.KeyValue) {
	p.quoted(prefix+"Key", string(kv.GetKey()))
	p.value(prefix+"CreateRevision", kv.GetCreateRevision())
	p.value(prefix+"ModRevision", kv.GetModRevision())
	p.value(prefix+"Version", kv.GetVersion())
	p.quoted(prefix+"Value", string(kv.GetValue()))
	if f.c.Hex {
		p.value(prefix+"Lease", fmt.Sprintf("%016x", kv.GetLease()))
	} else {
		p.value(prefix+"Lease", kv.GetLease())
	}
}

func (f fields) id(id uint64) string {
	if f.c.Hex {
		return strconv.FormatUint(id, 16)
	}
	return strconv.FormatUint(id, 10)
}

func (f fields) flush(p *page) error {
	_, err := f.c.Out.Write(p.text.Bytes())
	return err
}

// page gathers the lines of one response.
type page struct{ text bytes.Buffer }

func (p *page) value(name string, v any) { fmt.Fprintf(&p.text, "%q : %v\n", name, v) }
func (p *page) quoted(name, v string)    { fmt.Fprintf(&p.text, "%q : %q\n", name, v) }
func (p *page) gap()                     { p.text.WriteByte('\n') }
