package differential

import (
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// watch counts what a watch asks for.
func (c coverage) watch(s *state, r *pb.WatchCreateRequest) {
	c["watch"]++
	c.when(r.StartRevision == 0, "watch from now")
	c.when(r.StartRevision < 0, "watch from a negative revision")
	c.when(r.StartRevision == s.revision+1, "watch from the next revision")
	c.when(r.StartRevision > s.revision+1, "watch from the future")
	c.when(r.StartRevision > 0 && r.StartRevision <= s.revision, "watch from the past")
	c.when(r.StartRevision > 0 && r.StartRevision == s.compacted, "watch from the compacted revision")
	c.when(r.WatchId != 0, "watch with an id")
	c.when(r.PrevKv, "watch prev_kv")
	c.when(r.ProgressNotify, "watch progress")
	c.when(r.Fragment, "watch fragment")
	c.when(len(r.Key) == 0, "watch of the empty key")
	c.when(string(r.RangeEnd) == "\x00", "watch from key")
	c.when(len(r.RangeEnd) == 0, "watch one key")
	c.when(slices.Contains(r.Filters, pb.WatchCreateRequest_NOPUT), "watch noput")
	c.when(slices.Contains(r.Filters, pb.WatchCreateRequest_NODELETE), "watch nodelete")
	c.when(len(r.Filters) > 1, "watch noput nodelete")
}

// wantedOfStreams are the kinds that a full run of TestStreams has to have met.
var wantedOfStreams = []string{
	"watch from now", "watch from a negative revision", "watch from the next revision", "watch from the future",
	"watch from the past", "watch from the compacted revision", "watch with an id", "watch prev_kv", "watch progress",
	"watch fragment", "watch of the empty key", "watch from key", "watch one key", "watch noput", "watch nodelete",
	"watch noput nodelete", "cancel", "cancel unknown", "ended by compaction", "move", "progress",
	"progress: future watch", "progress: nothing watched", "fragments",
	"refused: " + compactedReason, "refused: mvcc: watcher range is empty",
	"refused: mvcc: duplicate watch ID provided on the WatchStream",
	"call *etcdserverpb.CompactionRequest", "call *etcdserverpb.LeaseGrantRequest", "call *etcdserverpb.LeaseRevokeRequest",
}

func (c coverage) missingOfStreams() (missing []string) {
	for _, kind := range wantedOfStreams {
		if c[kind] == 0 {
			missing = append(missing, kind)
		}
	}
	return missing
}

// streamDecisions are the rows of the table of quirks that concern watches, and what else of etcd this test makes
// exceptions for.
var streamDecisions = []struct{ row, etcd, here string }{
	{"header", "cluster id, member id and raft term are its own", "not compared, as in KV"},
	{"9", "a manual progress request is dropped while a watch of the stream is behind; cancelling an unknown watch gets no reply",
		"progress: etcd is asked again until it answers, ours has to answer the first request, both at the store's revision; " +
			"where etcd never answers (nothing watched, a watch of the future) ours need not, and what it says later has to " +
			"be true. Cancel: must agree"},
	{"next", "a watch that starts at the next revision counts as one of the future: no progress until that is there",
		"ours may answer at the revision before: nothing up to there is owed"},
	{"10", "a compacted watch ends with an empty reason and header revision 0",
		"ours has to name the store's revision and the reason; compact_revision must agree"},
	{"zombie", "a compacted watch keeps its id and stops all progress of the stream until the client cancels it, which is answered",
		"the test cancels it on etcd and drops the reply; ours forgets the watch by itself"},
	{"batches", "events of several revisions come in one response when a watch catches up, in its own batches",
		"not compared, nor is a batch's header revision, which is at least its last event's: a revision must be whole in " +
			"one response, but for fragments"},
	{"fragments", "what was buffered before `created` goes out in one piece",
		"not copied: ours has to keep to the size. Pieces need not be cut at the same event, but not below half the size"},
	{"first prev_kv", "that a watch wants prev_kv is noted after it has begun: its first response may lack them",
		"not copied: excused on etcd only"},
	{"created", "the answer to a progress request may overtake `created` of a watch that was asked for later, and its events",
		"not provoked: nothing is sent before the reply to what was sent before. e2e does not excuse ours"},
	{"among watches", "responses of different watches of a stream come in any order", "not compared"},
	{"12", "watches outlive a revoked permission", "needs auth: not here"},
}

func streamExceptions(e exceptions) string {
	var b strings.Builder
	for _, d := range streamDecisions {
		b.WriteString(row(d.row, e[d.row], d.etcd, d.here))
	}
	return b.String()
}
