package main

import clientv3 "go.etcd.io/etcd/client/v3"

// keyRange is the part of get and del that says which keys are meant: one, those with a prefix, those from a key on,
// or those from the first argument up to but not including the second.
type keyRange struct{ prefix, fromKey bool }

func (r keyRange) request(args []string) (key string, opts []clientv3.OpOption, err error) {
	if r.prefix && r.fromKey {
		return "", nil, failf(exitBadArgs, "`--prefix` and `--from-key` cannot be set at the same time, choose one")
	}
	key = args[0]
	if len(args) > 1 {
		if r.prefix || r.fromKey {
			return "", nil, failf(exitBadArgs,
				"too many arguments, only accept one argument when `--prefix` or `--from-key` is set").
				hint("leave out %q: --prefix and --from-key already say where the range ends", args[1])
		}
		return key, []clientv3.OpOption{clientv3.WithRange(args[1])}, nil
	}
	if (r.prefix || r.fromKey) && key == "" {
		return "\x00", []clientv3.OpOption{clientv3.WithFromKey()}, nil // every key
	}
	if r.prefix {
		opts = append(opts, clientv3.WithPrefix())
	}
	if r.fromKey {
		opts = append(opts, clientv3.WithFromKey())
	}
	return key, opts, nil
}
