package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var compareOperators = []string{"=", "!=", "<", ">"}

// compareTargets maps the names of a compare's left side to their long form.
var compareTargets = map[string]string{
	"val": "value", "value": "value", "ver": "version", "version": "version", "c": "create", "create": "create",
	"m": "mod", "mod": "mod", "lease": "lease",
}

// parseCompare reads a line such as  mod("greeting") > "0" .
func parseCompare(line string) (clientv3.Cmp, error) {
	var none clientv3.Cmp
	target, rest, ok := strings.Cut(line, "(")
	if !ok {
		return none, malformed("malformed comparison: %s", line)
	}
	var key, operator, value string
	if n, err := fmt.Sscanf(rest, "%q) %s %q", &key, &operator, &value); n != 3 {
		return none, malformed("malformed comparison: %s; got %s(%q) %s %q", line, target, key, operator, value)
	} else if err != nil {
		return none, malformed("malformed comparison: %s (%w)", line, err)
	}
	long, ok := compareTargets[target]
	if !ok {
		return none, malformed("malformed comparison: %s (unknown target %s)", line, target).
			hint("the targets are: value, version, create, mod, lease")
	}
	if !slices.Contains(compareOperators, operator) {
		return none, malformed("malformed comparison: %s (unknown operator %s)", line, operator).
			hint("the operators are: %s", strings.Join(compareOperators, " "))
	}
	if long == "value" {
		return clientv3.Compare(clientv3.Value(key), operator, value), nil
	}
	base, allowed := 10, "a whole number"
	if long == "lease" {
		base, allowed = 16, "a hexadecimal lease id"
	}
	number, err := strconv.ParseInt(value, base, 64)
	if err != nil {
		return none, failf(exitInvalidInput, "invalid txn compare request: %s", line).
			hint("%s is compared with %q; allowed: %s", long, value, allowed)
	}
	switch long {
	case "version":
		return clientv3.Compare(clientv3.Version(key), operator, number), nil
	case "create":
		return clientv3.Compare(clientv3.CreateRevision(key), operator, number), nil
	case "mod":
		return clientv3.Compare(clientv3.ModRevision(key), operator, number), nil
	default:
		return clientv3.Compare(clientv3.LeaseValue(key), operator, number), nil
	}
}

func malformed(format string, args ...any) *failure {
	return failf(exitInvalidInput, format, args...).hint(`a compare looks like this: mod("key") > "0"`)
}

// parseRequest reads a line that is a put, get or del command. As on the command line, an abbreviation of the
// command's name will do.
func (a *app) parseRequest(line string) (clientv3.Op, error) {
	words, err := splitWords(line)
	if err != nil {
		return clientv3.Op{}, err
	}
	if len(words) < 2 {
		return clientv3.Op{}, failf(exitInvalidInput, "invalid txn compare request: %s", line).hint(requestHint)
	}
	fs := pflag.NewFlagSet(words[0], pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	var request func(args []string) (clientv3.Op, error)
	switch {
	case strings.HasPrefix("put", words[0]):
		var f putFlags
		f.register(fs)
		request = func(args []string) (clientv3.Op, error) {
			// The rest of standard input is the rest of the transaction, never a value.
			key, value, opts, err := f.request(args, strings.NewReader(""))
			if err != nil {
				return clientv3.Op{}, err
			}
			return clientv3.OpPut(key, value, opts...), nil
		}
	case strings.HasPrefix("get", words[0]):
		var f getFlags
		f.register(fs)
		request = func(args []string) (clientv3.Op, error) {
			key, opts, err := f.request(args)
			if err != nil {
				return clientv3.Op{}, err
			}
			return clientv3.OpGet(key, opts...), nil
		}
	case strings.HasPrefix("del", words[0]):
		var f delFlags
		f.register(fs)
		request = func(args []string) (clientv3.Op, error) {
			key, opts, err := f.request(args, a)
			if err != nil {
				return clientv3.Op{}, err
			}
			return clientv3.OpDelete(key, opts...), nil
		}
	default:
		return clientv3.Op{}, failf(exitInvalidInput, "invalid txn request: %s", line).hint(requestHint)
	}
	if err := fs.Parse(words[1:]); errors.Is(err, pflag.ErrHelp) {
		return clientv3.Op{}, failf(exitInvalidInput, "invalid txn request: %s", line).
			hint("outside of a transaction, `quorumctl %s --help` explains the flags", words[0])
	} else if err != nil {
		return clientv3.Op{}, failf(exitInvalidInput, "invalid txn request: %s", line).hint("%v", err)
	}
	return request(fs.Args())
}

const requestHint = "a request is a put, get or del command line, for example: put greeting \"hello\""

// splitWords cuts a line into words at white space. A word in double quotes is a Go string literal, one in single
// quotes is taken as it is; quotes mean something only at the beginning of a word. A quote that is never closed is
// skipped, as etcdctl does.
func splitWords(line string) ([]string, error) {
	var words []string
	for i := 0; i < len(line); {
		rest := line[i:]
		switch c := rest[0]; {
		case c == '"':
			end := closingQuote(rest)
			if end < 0 {
				i++
				continue
			}
			word, err := strconv.Unquote(rest[:end])
			if err != nil {
				return nil, failf(exitInvalidInput, "%w", err).
					hint("%s is not a Go string literal; to take a backslash as it is, use single quotes", rest[:end])
			}
			words = append(words, word)
			i += end
		case c == '\'':
			length := strings.IndexByte(rest[1:], '\'')
			if length < 0 {
				i++
				continue
			}
			words = append(words, rest[1:1+length])
			i += length + 2
		case isBlank(c):
			i++
		default:
			end := strings.IndexFunc(rest, func(r rune) bool { return r < 0x80 && isBlank(byte(r)) })
			if end < 0 {
				end = len(rest)
			}
			words = append(words, rest[:end])
			i += end
		}
	}
	return words, nil
}

// closingQuote returns the length of the double-quoted literal at the beginning of s, or -1 when it is not closed.
func closingQuote(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' && c != '\v' }
