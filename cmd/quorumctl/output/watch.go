package output

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Watch prints what a watch delivers: one call per response, whose events share one answer.
type Watch interface {
	Watch(*clientv3.WatchResponse) error
}

// NewWatch returns a printer for watches: every format but table.
func NewWatch(c Config) (Watch, error) {
	return withoutTable[Watch](c, fields{c}, jsonFormat{c}, protobuf{c}, simple{c})
}

func (s simple) Watch(r *clientv3.WatchResponse) error {
	for _, ev := range r.Events {
		if _, err := fmt.Fprintln(s.c.Out, ev.GetType()); err != nil {
			return err
		}
		if ev.GetPrevKv() != nil {
			if err := s.pair(ev.GetPrevKv()); err != nil {
				return err
			}
		}
		if err := s.pair(ev.GetKv()); err != nil {
			return err
		}
	}
	return nil
}

func (f fields) Watch(r *clientv3.WatchResponse) error {
	var p page
	f.header(&p, r.Header)
	for _, ev := range r.Events {
		p.value("Type", ev.GetType())
		if ev.GetPrevKv() != nil {
			f.pair(&p, "Prev", ev.GetPrevKv())
		}
		f.pair(&p, "", ev.GetKv())
	}
	return f.flush(&p)
}

func (j jsonFormat) Watch(r *clientv3.WatchResponse) error { return j.line(r) }

// Watch leaves out what the client library does not hand on: the id of the watch, and the reason of its end.
func (p protobuf) Watch(r *clientv3.WatchResponse) error {
	return p.message(&pb.WatchResponse{
		Header: r.Header, Events: r.Events, CompactRevision: r.CompactRevision, Canceled: r.Canceled, Created: r.Created,
	})
}
