// Package datadir says what the files in a node's data directory are called. Who owns each, and what is in it, is in the
// package that the comment names.
package datadir

const (
	// Identity and HardState are files of package wal.
	Identity  = "identity"
	HardState = "hardstate"
	// Peers, of package wal too, says which run of each other member this one listened to last.
	Peers = "peers"
	// WAL is the directory of the log's segments, of package wal.
	WAL = "wal"
	// State is the directory of package backend: CURRENT, and a directory for each generation.
	State = "state"
	// Snap is the directory of snapshot files, of package snap.
	Snap = "snap"
	// Ballast is space that raftnode gives up when the disk is full.
	Ballast = "ballast"
	// Creating marks a directory whose first files are being made. With it, remains without an identity are an
	// interrupted creation; without it they are a node that lost its identity.
	Creating = "creating"
)
