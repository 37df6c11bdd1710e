// Package watch decides which watcher gets which part of the history, and when.
//
// The history itself is not here: it is in the views of mvcc, whose overlay is the one ring of recent events that all
// watchers share. A watcher is a position in it. So a thousand watchers that do not read cost a thousand positions.
//
// The [Hub] belongs to the node's loop. It hears of every new view ([Hub.Advance]), finds the watchers that have
// something to get, and gives each stream of a client one piece of [Work] at a time. The stream carries it out with
// [Collect], on a goroutine of its own and on an immutable view, sends what came of it, and reports with [Stream.Done]
// how far each watcher got. Only then it gets more: what is buffered for a client is one slice of history, however slow
// the client and however many its watchers. Streams with very many watchers of the same keys rest between rounds, so that
// events gather (round.go). A watcher that fell behind the overlay reads the file in such slices, in nobody's way.
//
// Invariants:
//
//   - A watcher's position, the next revision it has not been given, only grows: also when a snapshot replaces the
//     state, which only means that the overlay does not reach back and the file is read instead.
//   - A revision is delivered in one piece, in order, once. A position that is compacted and not in memory ends the
//     watcher; nothing is ever skipped.
//   - Whoever is idle has been given everything up to the hub's revision that concerns it. That is what makes a progress
//     notice true: it is part of a stream's work, behind all events at or below its revision.
package watch
