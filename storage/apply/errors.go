package apply

import (
	"errors"

	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// Errors of a command. They are outcomes like any other: every replica comes to the same one, and the history hash
// covers it.
var (
	// ErrDuplicate answers a command whose id is in the dedupe window or too old for it. It was executed before, or an
	// answer to it is no longer expected; its outcome is not known here.
	ErrDuplicate = errors.New("duplicate command")
	// ErrUnknownCommand answers a request that this version has no code for.
	ErrUnknownCommand = errors.New("unknown command")
	// ErrMalformedRequest answers a request that is not an encoded InternalRaftRequest.
	ErrMalformedRequest = errors.New("malformed request")
	// ErrLeaseNotFound answers a put with a lease that does not exist, and the revocation of one.
	ErrLeaseNotFound = errors.New("requested lease not found")
	// ErrLeaseExists answers a grant under an id that is taken.
	ErrLeaseExists = errors.New("lease already exists")
	// ErrStaleTerm answers a command that was meant for an entry of another term.
	ErrStaleTerm = errors.New("command of another term")
	// ErrKeyNotFound answers a put with ignore_value or ignore_lease of a key that does not exist.
	ErrKeyNotFound = errors.New("key not found")
	// ErrMemberNotFound answers an attribute change of a member that the cluster does not have.
	ErrMemberNotFound = errors.New("member not found")
	// ErrNotMember answers a command that was proposed by someone who is no member: there is no window to tell its
	// duplicates by.
	ErrNotMember = errors.New("command from a process that is no member")
)

// Errors that stop the machine.
var (
	// ErrConfChange means that a membership entry was committed, which this version does not propose.
	ErrConfChange = errors.New("membership entry")
	// ErrOutOfOrder means that an entry does not follow the last one applied.
	ErrOutOfOrder = errors.New("entry out of order")
	// ErrClusterMismatch means that the state belongs to another cluster.
	ErrClusterMismatch = errors.New("state of another cluster")
)

// ErrNotReadOnly is returned by [Txn] for a transaction that may write.
var ErrNotReadOnly = errors.New("transaction is not read-only")

// outcomes numbers the errors that a command may have. The numbers go into the history hash: never change one.
var outcomes = [...]struct {
	code uint8
	err  error
}{
	{1, ErrDuplicate},
	{2, ErrUnknownCommand},
	{3, ErrMalformedRequest},
	{4, ErrLeaseNotFound},
	{5, ErrKeyNotFound},
	{6, ErrMemberNotFound},
	{7, ErrNotMember},
	{8, mvcc.ErrCompacted},
	{9, mvcc.ErrFutureRevision},
	{10, ErrLeaseExists},
	{11, ErrStaleTerm},
}

// outcomeOf returns the number of a command's error, 0 for none. ok is false for an error that no replica but this one
// would have: it stops the machine. Only the bare sentinel is an outcome: whatever wraps one says that it came up where
// it cannot, half way through a change.
func outcomeOf(err error) (code uint8, ok bool) {
	if err == nil {
		return 0, true
	}
	for i := range outcomes {
		if err == outcomes[i].err {
			return outcomes[i].code, true
		}
	}
	return 0, false
}
