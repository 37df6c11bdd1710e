package raftnode

import "errors"

// What a client request can end with when it was not executed, or when nobody can say whether it was. The server maps
// them to etcd's texts and codes in one table.
var (
	// ErrNoLeader: the request asked for a leader and there is none right now.
	ErrNoLeader = errors.New("no leader")
	// ErrTimeout: no answer within the request timeout; a write may still take effect.
	ErrTimeout = errors.New("request timed out")
	// ErrTimeoutLeaderLost is ErrTimeout while the leader changed.
	ErrTimeoutLeaderLost = errors.New("request timed out, possibly due to previous leader failure")
	// ErrTimeoutConnectionLost is ErrTimeout while the leader, or for the leader a quorum, was not heard.
	ErrTimeoutConnectionLost = errors.New("request timed out, possibly due to connection lost")
	// ErrTooManyRequests: refused before it was proposed; it will not take effect.
	ErrTooManyRequests = errors.New("too many requests")
	// ErrNoSpace: refused before it was proposed, the store's quota or the disk of a member is used up.
	ErrNoSpace = errors.New("database space exceeded")
	// ErrTooLarge: refused before it was proposed, the encoded request is over the limit.
	ErrTooLarge = errors.New("request is too large")
	// ErrStopped: the node is stopping or has failed; a write may still take effect.
	ErrStopped = errors.New("server stopped")
	// ErrNotReady: the node has not yet applied what it knew before its restart.
	ErrNotReady = errors.New("member has not caught up since its restart")
	// ErrNotLeader: the call is for the leader only.
	ErrNotLeader = errors.New("not leader")
	// ErrBadTransferee: leadership can only go to another voter of this cluster.
	ErrBadTransferee = errors.New("bad leader transferee")
	// ErrTransferTimeout: the chosen node did not take over in time.
	ErrTransferTimeout = errors.New("leader transfer took too long")
)
