package output

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Alarms prints alarms.
type Alarms interface {
	Alarms(*clientv3.AlarmResponse) error
}

// NewAlarms returns a printer for alarms: every format but table.
func NewAlarms(c Config) (Alarms, error) {
	return withoutTable[Alarms](c, fields{c}, jsonFormat{c}, protobuf{c}, simple{c})
}

func (s simple) Alarms(r *clientv3.AlarmResponse) error {
	for _, a := range r.Alarms {
		if a.GetMemberID() != 0 { // etcdctl shows no field that is zero
			if _, err := fmt.Fprintf(s.c.Out, "memberID:%d ", a.GetMemberID()); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(s.c.Out, "alarm:%s\n", a.GetAlarm()); err != nil {
			return err
		}
	}
	return nil
}

func (f fields) Alarms(r *clientv3.AlarmResponse) error {
	var p page
	f.header(&p, r.Header)
	for _, a := range r.Alarms {
		p.value("MemberID", f.id(a.GetMemberID()))
		p.value("AlarmType", a.GetAlarm())
		p.gap()
	}
	return f.flush(&p)
}

func (j jsonFormat) Alarms(r *clientv3.AlarmResponse) error { return j.line(r) }

func (p protobuf) Alarms(r *clientv3.AlarmResponse) error { return p.message((*pb.AlarmResponse)(r)) }
