package apply

import (
	"bufio"
	"fmt"
	"io"

	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// Dump writes the logical state as text: equal for two replicas at the same index, whatever each has flushed or
// compacted, and different wherever their states are. The newest pairs are listed; the hash in the line before, etcd's
// HashKV, stands for all revisions that can still be read.
func (m *Machine) Dump(w io.Writer) error {
	view := m.kv.View()
	hash, err := view.HashKV(view.Revision())
	if err != nil {
		return fmt.Errorf("hash revisions: %w", err)
	}
	all, err := view.Range([]byte{0}, []byte{0}, mvcc.RangeOptions{})
	if err != nil {
		return fmt.Errorf("read pairs: %w", err)
	}
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "cluster %x entry %d term %d history %016x\n", m.clusterID, m.index, m.term, m.history.sum)
	fmt.Fprintf(b, "configuration %s\n", mustJSON(m.confState))
	for i := range m.members {
		fmt.Fprintf(b, "member %s\n", m.members[i].encode())
	}
	for _, a := range m.alarms {
		fmt.Fprintf(b, "alarm %s of member %x\n", a.Type, a.Member)
	}
	if c := m.check; c.Index > 0 {
		fmt.Fprintf(b, "%s; own %016x, decided %t: %016x, stirred %t\n", c, c.Hash, c.Decided, c.Verdict, c.Stirred)
	}
	for _, w := range m.windows {
		fmt.Fprintf(b, "window of %x epoch %d high %d bits %08x\n", w.member, w.epoch, w.high, checksum(w.appendBits(nil)))
	}
	fmt.Fprintf(b, "revision %d compacted %d hash %08x\n", view.Revision(), view.CompactRevision(), hash.Hash)
	for _, l := range m.leases.All() {
		keys, _ := m.leases.Keys(l.ID)
		fmt.Fprintf(b, "lease %d of %d s: %q\n", l.ID, l.TTL, keys)
	}
	for _, kv := range all.KVs {
		fmt.Fprintf(b, "%q = %q create %d mod %d version %d lease %d\n",
			kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease)
	}
	return b.Flush()
}
