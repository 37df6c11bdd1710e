package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

const txnHelp = `Read a transaction from standard input and execute it atomically.

A transaction has three parts, and an empty line ends each of them:
  1. compares, one per line; they all hold or the transaction takes the other branch
  2. requests (put, get, del) if all compares hold
  3. requests if one does not

A compare is  TARGET("KEY") OPERATOR "VALUE"  with the operators = != < > and the targets
  value, val       the value
  version, ver     the number of changes since the key was created (0: no such key)
  create, c        the revision that created the key
  mod, m           the revision that changed the key last
  lease            the hexadecimal id of the key's lease

A request is a put, get or del command line with its flags. "Double" quotes understand Go's escapes such as \n and
\x00, 'single' quotes take everything as it is.`

func (a *app) newTxn() *cobra.Command {
	var interactive bool
	cmd := &cobra.Command{
		Use:   "txn [options]",
		Short: "Execute a transaction read from standard input",
		Long:  txnHelp,
		Example: `  quorumctl txn <<'EOF'
  mod("greeting") > "0"

  put greeting "hello again"

  put greeting "hello"
  put created yes

  EOF

  quorumctl txn -i`,
		GroupID:           groupKV,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "say which part is expected next")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 0 {
			return failf(exitBadArgs, "txn command does not accept argument").
				hint("the transaction is read from standard input; see `quorumctl txn --help`")
		}
		printer, s, err := connect(a, cmd, output.NewKV)
		if err != nil {
			return err
		}
		defer s.Close()
		ask := func(string) {}
		if interactive {
			ask = func(part string) {
				fmt.Fprintln(a.stdout, part)
				a.stdout.Flush()
			}
		}
		t, err := a.readTxn(ask)
		if err != nil {
			return err
		}
		ctx, cancel := s.context() // from here on: a person may take as long as they like to type
		defer cancel()
		r, err := s.Txn(ctx).If(t.compares...).Then(t.success...).Else(t.failure...).Commit()
		if err != nil {
			return s.explainWrite(err)
		}
		return printer.Txn(r)
	}
	return cmd
}

// txn is a transaction as it was read.
type txn struct {
	compares []clientv3.Cmp
	success  []clientv3.Op
	failure  []clientv3.Op
}

// readTxn reads the three parts from standard input. It calls ask before each.
func (a *app) readTxn(ask func(part string)) (t txn, err error) {
	lines := bufio.NewReader(a.stdin)
	ask("compares:")
	if t.compares, err = readPart(lines, "compares", parseCompare); err != nil {
		return txn{}, err
	}
	ask("success requests (get, put, del):")
	if t.success, err = readPart(lines, "success requests", a.parseRequest); err != nil {
		return txn{}, err
	}
	ask("failure requests (get, put, del):")
	t.failure, err = readPart(lines, "failure requests", a.parseRequest)
	return t, err
}

// readPart parses lines up to the next empty one. A part that the end of the input cuts off is an error, so that a
// truncated script never executes.
func readPart[T any](lines *bufio.Reader, part string, parse func(line string) (T, error)) ([]T, error) {
	var items []T
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil, failf(exitInvalidInput, "%w", err).
				hint("the input ends within the %s; an empty line must end each of the three parts, the last too", part)
		}
		if err != nil {
			return nil, failf(exitInvalidInput, "%w", err)
		}
		line = strings.TrimSpace(line)
		if line == "" {
			return items, nil
		}
		item, err := parse(line)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
}
