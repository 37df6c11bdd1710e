// Package transport carries messages between the nodes of a cluster over gRPC.
//
// Every peer has three outgoing streams, one for each class of traffic, and each stream has its own TCP connection:
// streams that share one also share its flow control and its writer, and a heartbeat would queue behind a snapshot.
//
//	control    votes, heartbeats, acknowledgements, read index, leader transfer, LeaseRenew, LeaseRenewed, LeaseRound,
//	           LeaseRoundAck
//	bulk       MsgApp, MsgSnap, Forward, ForwardRefused, LeaseSurvey, LeaseTable
//	snapshot   SnapshotFetch, SnapshotChunk, SnapshotFailed, LogFetch, LogPiece
//
// Messages of one class to one peer arrive in the order sent, as long as one stream lasts; raft relies on that for
// speed, never for safety. Anything may be lost: [Transport.Send] puts a message into a queue bounded in count and bytes
// and never waits. When the queue is full or the stream is down, the message is dropped and counted.
//
// # The handshake
//
// A stream opens with metadata that says who calls whom:
//
//	quorumkv-protocol      2
//	quorumkv-cluster       cluster id, hex
//	quorumkv-from          sender's member id, hex
//	quorumkv-to            the member id that the sender means to reach, hex
//	quorumkv-incarnation   32 hex digits, drawn when the sender's data directory was made
//	quorumkv-boot          the directory's boot epoch, and the nonces of its last runs, this one's last, hex
//	quorumkv-log           stored term and last index of the log at the start, hex; "repairing" for the index if it is damaged
//	quorumkv-class         control, bulk or snapshot
//
// The receiver refuses what does not fit with FailedPrecondition and a text that names the difference, else answers with
// the last three of its own. Both sides ask their node whether that run may speak for the member (Config.Admit); a receiver
// whose node says no for good answers DataLoss, and the sender's node hears of that (Config.Disowned). A sender that
// is no known peer is accepted when all else fits: a member that lags may not have heard yet of its newest colleague,
// and could not learn of it if it refused its log entries. Streams of an older run end when a newer one is accepted.
//
// # What the receiver lets through
//
// Invariant: a message given to Config.Receive names the stream's authenticated sender as From, inside and out, and this
// member as To; its raft message is of a kind that travels between nodes. raft itself trusts its input: it would take a
// forged "entries are on disk" from the network for one of its own disk.
//
// # Wire format
//
// gRPC's length-prefixed messages, encoded by a codec of our own:
//
//	protobuf of the message | CRC-32C of it, 4 bytes, little endian
//
// TCP's checksum misses about one damaged segment in 65,536, and a flipped bit in a log entry is for ever.
//
// # Goroutines
//
// Outgoing, for each peer and class: the sender (runs for the peer's life: connects, drains the queue, reconnects), and
// while a stream is up a watcher that waits for its end and, on control, a pinger. Incoming, for each stream: gRPC's
// handler, and the receiver, which calls Config.Receive. All are started under Transport.running, end when the transport
// closes, and [Transport.Close] waits for them. In a drill, messages that are late come from timers of package fault.
package transport
