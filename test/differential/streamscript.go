package differential

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/test/script"
)

// A history with streams is written as package script writes requests, and besides:
//
//	@N REQUEST       to node N
//	#N MESSAGE       on stream N: watch, cancel, progress
//	#N move M        end stream N and open it again, to node M
//	settle           wait until everything due has arrived, and compare

func printActs(acts []act, base int64) string {
	var b strings.Builder
	for _, a := range acts {
		switch {
		case a.message != nil:
			fmt.Fprintf(&b, "#%d %s", a.stream, script.Print(a.message, base))
		case a.move:
			fmt.Fprintf(&b, "#%d move %d\n", a.stream, a.node)
		case a.settle():
			b.WriteString("settle\n")
		}
		for _, c := range a.calls {
			fmt.Fprintf(&b, "@%d %s", c.node, script.Print(c.request, base))
		}
	}
	return b.String()
}

// parseActs reads what printActs wrote.
func parseActs(text string, base int64) (acts []act, err error) {
	lines := strings.Split(text, "\n")
	for len(lines) > 0 {
		line := strings.TrimSpace(lines[0])
		n := 1
		where, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || strings.HasPrefix(line, "# "):
		case line == "settle":
			acts = append(acts, act{})
		default:
			if where == "" || where[0] != '@' && where[0] != '#' {
				return nil, fmt.Errorf("%q: want @node, #stream or settle", line)
			}
			number, err := strconv.Atoi(where[1:])
			if err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			if node, found := strings.CutPrefix(rest, "move "); found {
				to, err := strconv.Atoi(node)
				if err != nil {
					return nil, fmt.Errorf("%q: %w", line, err)
				}
				acts = append(acts, act{stream: number % streams, move: true, node: to})
				break
			}
			if rest == "txn" {
				n = block(lines)
				rest = strings.Join(append([]string{rest}, lines[1:n]...), "\n")
			}
			request, err := script.Parse(rest, base)
			if err != nil {
				return nil, err
			}
			if where[0] == '@' {
				acts = append(acts, act{calls: []call{{node: number, request: request}}})
			} else {
				acts = append(acts, act{stream: number % streams, message: request.(proto.Message)})
			}
		}
		lines = lines[n:]
	}
	return acts, nil
}

// block counts the lines of a transaction at the start of lines, those of nested ones included.
func block(lines []string) int {
	depth := 0
	for i, line := range lines {
		switch line = strings.TrimSpace(line); {
		case line == "txn" || strings.HasSuffix(line, " txn"):
			depth++
		case line == "end":
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(lines)
}
