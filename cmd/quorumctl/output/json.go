package output

import (
	"encoding/json"
	"strconv"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// jsonFormat is encoding/json's view of the Go messages, one line per response. It is not protobuf's JSON mapping:
// field names are snake_case, 64-bit numbers are numbers, bytes are base64 and zero fields are absent.
type jsonFormat struct{ c Config }

func (j jsonFormat) Put(r *clientv3.PutResponse) error                            { return j.line(r) }
func (j jsonFormat) Get(r *clientv3.GetResponse) error                            { return j.line(r) }
func (j jsonFormat) Delete(r *clientv3.DeleteResponse) error                      { return j.line(r) }
func (j jsonFormat) Txn(r *clientv3.TxnResponse) error                            { return j.line(txnView((*pb.TxnResponse)(r))) }
func (j jsonFormat) MoveLeader(_, _ uint64, r *clientv3.MoveLeaderResponse) error { return j.line(r) }
func (j jsonFormat) Health(list []Health) error                                   { return j.line(list) }
func (j jsonFormat) Status(list []Status) error                                   { return j.line(list) }
func (j jsonFormat) HashKV(list []HashKV) error                                   { return j.line(list) }

// MemberList is the only answer here in which --hex changes JSON: ids become hexadecimal strings.
func (j jsonFormat) MemberList(r *clientv3.MemberListResponse) error {
	if !j.c.Hex {
		return j.line(r)
	}
	view := hexMemberList{Members: make([]hexMember, 0, len(r.Members))}
	if h := r.Header; h != nil {
		view.Header = &hexHeader{hexID(h.GetClusterId()), hexID(h.GetMemberId()), h.GetRevision(), h.GetRaftTerm()}
	}
	for _, m := range r.Members {
		view.Members = append(view.Members,
			hexMember{hexID(m.GetID()), m.GetName(), m.GetPeerURLs(), m.GetClientURLs(), m.GetIsLearner()})
	}
	return j.line(view)
}

func (j jsonFormat) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = j.c.Out.Write(append(b, '\n'))
	return err
}

type hexMemberList struct {
	Header  *hexHeader  `json:"header"`
	Members []hexMember `json:"members"`
}

type hexHeader struct {
	ClusterID hexID  `json:"cluster_id"`
	MemberID  hexID  `json:"member_id"`
	Revision  int64  `json:"revision,omitempty"`
	RaftTerm  uint64 `json:"raft_term,omitempty"`
}

type hexMember struct {
	ID         hexID    `json:"ID"`
	Name       string   `json:"name,omitempty"`
	PeerURLs   []string `json:"peerURLs,omitempty"`
	ClientURLs []string `json:"clientURLs,omitempty"`
	IsLearner  bool     `json:"isLearner,omitempty"`
}

type hexID uint64

func (id hexID) MarshalText() ([]byte, error) { return strconv.AppendUint(nil, uint64(id), 16), nil }

// txnJSON gives the oneof of a transaction's answers the shape it has had since etcd used gogo: an object "Response"
// that holds the one answer under its snake_case name.
type txnJSON struct {
	Header    *pb.ResponseHeader `json:"header,omitempty"`
	Succeeded bool               `json:"succeeded,omitempty"`
	Responses []opJSON           `json:"responses,omitempty"`
}

type opJSON struct {
	Response struct {
		Range  *pb.RangeResponse       `json:"response_range,omitempty"`
		Put    *pb.PutResponse         `json:"response_put,omitempty"`
		Delete *pb.DeleteRangeResponse `json:"response_delete_range,omitempty"`
		Txn    *txnJSON                `json:"response_txn,omitempty"`
	} `json:"Response"`
}

func txnView(r *pb.TxnResponse) *txnJSON {
	if r == nil {
		return nil
	}
	view := &txnJSON{Header: r.GetHeader(), Succeeded: r.GetSucceeded()}
	for _, op := range r.GetResponses() {
		var o opJSON
		o.Response.Range = op.GetResponseRange()
		o.Response.Put = op.GetResponsePut()
		o.Response.Delete = op.GetResponseDeleteRange()
		o.Response.Txn = txnView(op.GetResponseTxn())
		view.Responses = append(view.Responses, o)
	}
	return view
}
