package output

import (
	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// table draws reports with tablewriter, the library behind etcdctl's tables: its rules for borders, upper-case headers
// and column widths are the layout.
type table struct{ c Config }

func (t table) MemberList(r *clientv3.MemberListResponse) error { return t.draw(memberRows(r)) }
func (t table) Health(list []Health) error                      { return t.draw(healthRows(list)) }
func (t table) Status(list []Status) error                      { return t.draw(statusRows(list)) }
func (t table) HashKV(list []HashKV) error                      { return t.draw(hashRows(list)) }

func (t table) draw(header []string, rows [][]string) error {
	w := tablewriter.NewTable(t.c.Out, tablewriter.WithRowAlignment(tw.AlignRight))
	w.Header(header)
	if err := w.Bulk(rows); err != nil {
		return err
	}
	return w.Render()
}
