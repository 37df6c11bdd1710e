package check

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// leaders looks for two members that lead in one term: by what they said themselves when they were polled, and by what
// the members' logs say.
func (c *checker) leaders() {
	reigns := map[uint64]reign{}
	for i := range c.h.Polls {
		if r, ok := polled(&c.h.Polls[i]); ok {
			c.reigns(reigns, r)
		}
	}
	for i := range c.h.Claims {
		cl := &c.h.Claims[i]
		c.reigns(reigns, reign{cl.Leader, cl.Term, fmt.Sprintf("the log of %s says so", cl.Member)})
	}
	c.look(OneLeader, "%s polls of members and %s lines of logs, with leaders in %s terms", report.Whole(len(c.h.Polls)),
		report.Whole(len(c.h.Claims)), report.Whole(len(reigns)))
}

// reign is a statement that a member leads in a term.
type reign struct {
	leader, term uint64
	why          string
}

func polled(p *history.Poll) (reign, bool) {
	return reign{p.ID, p.Term, fmt.Sprintf("%s said so itself at %s", p.Member, seconds(p.At))},
		p.Error == "" && p.ID != 0 && p.Leader == p.ID
}

func (c *checker) reigns(known map[uint64]reign, r reign) {
	first, ok := known[r.term]
	if !ok {
		known[r.term] = r
	} else if first.leader != r.leader {
		c.broken(OneLeader, nil, nil, "%s", first.against(r))
	}
}

func (r reign) against(other reign) string {
	return fmt.Sprintf("members %x and %x both led in term %d: %s of %x, and %s of %x", r.leader, other.leader, r.term, r.why,
		r.leader, other.why, other.leader)
}

// Lines of a member's log that say who leads, as text: what every member says of the leader that it has found, and, at
// level debug, what raft says on the leader itself.
var (
	foundLeader  = regexp.MustCompile(`\] +\S*: leader: leader-id=([0-9a-f]+) term=([0-9]+)\s*$`)
	becameLeader = regexp.MustCompile(`(?:^|: )([0-9a-f]+) became leader at term ([0-9]+)\s*$`)
)

// Leaders reads the log of a member, as text or as JSON, and returns what it says of who led when. Whose log it is, the
// caller fills in. The end may be cut off in the middle of a line. The error is the reader's.
func Leaders(log io.Reader) ([]history.Claim, error) {
	var claims []history.Claim
	in := bufio.NewReader(log)
	for {
		line, err := in.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF):
			return claims, nil // what there is of the last line may be half a number
		case err != nil:
			return claims, fmt.Errorf("read log: %w", err)
		}
		if c, ok := claim(line); ok {
			claims = append(claims, c)
		}
	}
}

func claim(line []byte) (history.Claim, bool) {
	var entry struct {
		Message string `json:"@message"`
		Leader  string `json:"leader-id"`
		Term    uint64 `json:"term"`
	}
	leader, term := "", ""
	if line[0] == '{' {
		if json.Unmarshal(line, &entry) != nil {
			return history.Claim{}, false
		}
		if entry.Message == "leader" {
			leader, term = entry.Leader, strconv.FormatUint(entry.Term, 10)
		}
		line = []byte(entry.Message)
	} else if m := foundLeader.FindSubmatch(line); m != nil {
		leader, term = string(m[1]), string(m[2])
	}
	if m := becameLeader.FindSubmatch(line); m != nil {
		leader, term = string(m[1]), string(m[2])
	}
	id, err := strconv.ParseUint(leader, 16, 64)
	if err != nil {
		return history.Claim{}, false
	}
	t, err := strconv.ParseUint(term, 10, 64)
	return history.Claim{Leader: id, Term: t}, err == nil && id != 0 && t != 0
}
