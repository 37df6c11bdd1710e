// Package history is what a drill saw: every request of its clients with what became of it, every event of its watchers,
// every look at the members, and what was done to them. It is written to a file as it is, so that a verdict can be
// checked again, or doubted.
//
// Times count from the start of the drill, on one monotonic clock. Values are unique: no two writes of a drill write the
// same, so a value names its write.
package history

import "time"

// Kind is what a request asks for.
type Kind string

const (
	Put    Kind = "put"
	Get    Kind = "get"    // linearizable
	Stale  Kind = "stale"  // serializable: any state that the member has had, never older than one it has shown
	Swap   Kind = "swap"   // put Value if the key's mod revision is Expected
	Delete Kind = "delete" // of one key
)

// Writes reports whether a request of the kind may change the store.
func (k Kind) Writes() bool { return k == Put || k == Swap || k == Delete }

// Outcome is what a client knows of a request.
type Outcome string

const (
	OK      Outcome = "ok"      // answered; a swap whose compare did not hold is OK too
	Refused Outcome = "refused" // certainly without effect, now and later: it never left, or the server said so
	Unknown Outcome = "unknown" // it may have taken effect, or may yet
)

// Op is one request.
type Op struct {
	ID       int           `json:"id"` // from 1, unique in the history
	Client   int           `json:"client"`
	Member   string        `json:"member"` // name of the member that was asked
	Kind     Kind          `json:"kind"`
	Key      string        `json:"key"`
	Value    string        `json:"value,omitempty"`    // to write
	Expected int64         `json:"expected,omitempty"` // of a swap; 0: the key must not exist
	Lease    int64         `json:"lease,omitempty"`    // that a put attaches
	Begin    time.Duration `json:"begin"`
	End      time.Duration `json:"end"` // of the answer or the error
	Outcome  Outcome       `json:"outcome"`
	Error    string        `json:"error,omitempty"`

	// Of an answer.
	Revision int64  `json:"revision,omitempty"` // the header's: the store's revision at which it was answered
	Term     uint64 `json:"term,omitempty"`     // the header's raft term
	Applied  bool   `json:"applied,omitempty"`  // a swap's compare held, a delete deleted something
	// What a get, stale read or swap that did not hold found. ModRevision 0: the key was not there.
	Found       string `json:"found,omitempty"`
	ModRevision int64  `json:"mod_revision,omitempty"`
}

// Event is a change that a watcher was sent, or that the whole history shows.
type Event struct {
	At       time.Duration `json:"at"`
	Revision int64         `json:"revision"` // the event's own, mod revision
	Key      string        `json:"key"`
	Value    string        `json:"value,omitempty"`
	Deleted  bool          `json:"deleted,omitempty"`
	Lease    int64         `json:"lease,omitempty"`
	Created  int64         `json:"created,omitempty"` // create revision
	Version  int64         `json:"version,omitempty"`
}

// Watch is one connection of a watcher to a member. A watcher that loses its connection goes on with another, from the
// revision behind the last that it has seen whole.
type Watch struct {
	Watcher int           `json:"watcher"`
	Member  string        `json:"member"`
	Prefix  string        `json:"prefix"` // of the keys that it watches
	From    int64         `json:"from"`   // first revision asked for
	Begin   time.Duration `json:"begin"`
	End     time.Duration `json:"end"`
	// Batches are the responses in their order.
	Batches []Batch `json:"batches"`
	Error   string  `json:"error,omitempty"` // why it ended; empty when the drill ended it
}

// Batch is one response to a watcher: events, or with none a notice that everything up to Revision has been sent.
type Batch struct {
	At       time.Duration `json:"at"`
	Revision int64         `json:"revision"` // the header's
	Events   []Event       `json:"events,omitempty"`
}

// Lease is one lease that a client kept alive, or let end.
type Lease struct {
	ID      int64         `json:"id"`
	TTL     time.Duration `json:"ttl"`
	Key     string        `json:"key"`     // attached
	Asked   time.Duration `json:"asked"`   // when the grant was asked for: the time to live counts from here at the earliest
	Granted time.Duration `json:"granted"` // when the answer came
	// Renewals in their order: a renewal counts from its Begin when it was confirmed.
	Renewals []Renewal `json:"renewals"`
}

// Renewal is one request to keep a lease alive.
type Renewal struct {
	Member    string        `json:"member"`
	Begin     time.Duration `json:"begin"`
	End       time.Duration `json:"end"`
	Confirmed bool          `json:"confirmed"`
	Gone      bool          `json:"gone"` // the server said that there is no such lease
	Error     string        `json:"error,omitempty"`
}

// Poll is one look at a member's status.
type Poll struct {
	At      time.Duration `json:"at"`
	Member  string        `json:"member"`
	ID      uint64        `json:"id"`     // the member's
	Leader  uint64        `json:"leader"` // whom it follows; itself: it leads
	Term    uint64        `json:"term"`
	Applied uint64        `json:"applied"`
	Error   string        `json:"error,omitempty"` // nothing else is set then
}

// Claim is a line in a member's log that says who leads.
type Claim struct {
	Member string `json:"member"` // whose log it is
	Leader uint64 `json:"leader"` // id
	Term   uint64 `json:"term"`
}

// Fault is something done to the cluster. What heals it is another one.
type Fault struct {
	At      time.Duration `json:"at"`
	Until   time.Duration `json:"until"`   // when it was over, 0 while it is not
	Round   int           `json:"round"`   // from 1
	Members []string      `json:"members"` // whom it struck
	What    string        `json:"what"`    // "cut off from the others", "killed with SIGKILL"
}

// Start is when a member that a fault had ended is started again. Its old process is gone by then.
type Start struct {
	At     time.Duration `json:"at"`
	Member string        `json:"member"`
}

// Hash is a member's answer to HashKV.
type Hash struct {
	Member   string `json:"member"`
	Revision int64  `json:"revision"`
	Compact  int64  `json:"compact"`
	Hash     uint32 `json:"hash"`
}

// History is everything. Whoever checks it needs nothing else.
type History struct {
	Prefix  string   `json:"prefix"`  // of all the drill's keys
	Members []string `json:"members"` // names
	// First and Last are the store's revisions before the first request and after the last one. At First there is no key
	// below Prefix. Last is 0 when the drill ended without asking: then Truth, Dumps and Hashes are missing too.
	First   int64   `json:"first"`
	Last    int64   `json:"last"`
	Ops     []Op    `json:"ops"` // by End
	Watches []Watch `json:"watches"`
	Leases  []Lease `json:"leases"`
	Polls   []Poll  `json:"polls"`
	Claims  []Claim `json:"claims"` // of members whose logs are ours to read
	Faults  []Fault `json:"faults"`
	Starts  []Start `json:"starts"`
	// Truth is every change below Prefix from First+1 to Last, as one watch from one healthy member told it in the end, and
	// Dumps what each member says that there is at Last.
	Truth  []Event            `json:"truth"`
	Dumps  map[string][]Event `json:"dumps"`  // by member; At is not set
	Hashes []Hash             `json:"hashes"` // of all members at Last
	// Compacted is set when somebody compacted the store during the drill, above First: then Truth begins behind it.
	Compacted int64 `json:"compacted,omitempty"`
}

// Violation is a promise that a history shows broken.
type Violation struct {
	Promise string `json:"promise"` // a short name, see package check: "linearizable", "no lost write"
	Text    string `json:"text"`    // one or two sentences with every value that matters
	// Ops is the shortest part of the history that shows it, and Events what the store says against it.
	Ops    []Op    `json:"ops,omitempty"`
	Events []Event `json:"events,omitempty"`
}
