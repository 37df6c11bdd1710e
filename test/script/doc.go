// Package script is a small language for requests to the store and its leases, used by golden files in which a reviewer can read both sides of
// the API. One request is one line, a transaction a block:
//
//	put a 1 prev_kv
//	range a z limit=2 sort=descend:mod rev=+3
//	txn
//	if mod a = +3
//	then
//	put b 2
//	else
//	del a
//	end
//
// Requests:
//
//	put KEY VALUE [lease=N] [prev_kv] [ignore_value] [ignore_lease]
//	range KEY [END] [limit=N] [rev=R] [sort=none|ascend|descend[:key|version|create|mod|value]] [serializable]
//	      [keys_only] [count_only] [min_mod=R] [max_mod=R] [min_create=R] [max_create=R]
//	stream ...       as range, through RangeStream; the chunks are merged
//	del KEY [END] [prev_kv]
//	compact R [physical]
//	hash R           HashKV
//	grant TTL [id=N] | revoke N | ttl N [keys] | keepalive N | leases
//	watch KEY [END] [rev=R] [id=N] [prev_kv] [progress] [fragment] [noput] [nodelete] | cancel N | progress
//	                 messages on a Watch stream: for those who have one, a Session has not
//	txn              then compares, requests and `end`; requests before `then` count as success
//	if version|create|mod|value|lease KEY [..END] =|!=|<|> V|unset
//	empty            an operation without a request; only inside txn
//	many N REQUEST   N requests with # replaced by 0 ... N-1; inside txn N operations, outside N calls, silent if equal
//	@N REQUEST       sends it to the N-th node after the one under test
//
// KEY, END and VALUE are bare words, Go strings in quotes, `prefix(KEY)` for the END that makes KEY a prefix, or
// `size(N)` for N bytes. Revisions R are relative to the start of the script when they carry a sign, as all revisions in
// the output do: +0 is the revision after everything before was deleted. A bare number is absolute, -1 is written `minus1`.
//
// What no client library sends has a form too: numbers for sort=ORDER:TARGET and for the target of a compare, ?N for its
// relation, and a value of another kind than the target's with its name, as in `if 9 a ?7 version:1`.
package script
