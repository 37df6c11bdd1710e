package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// span writes a duration as a person would say it, to about three digits.
func span(d time.Duration) string {
	switch a := d.Abs(); {
	case d == 0:
		return "0 s"
	case a < 10*time.Millisecond:
		return strconv.FormatFloat(float64(d)/1e6, 'f', 2, 64) + " ms"
	case a < 100*time.Millisecond:
		return strconv.FormatFloat(float64(d)/1e6, 'f', 1, 64) + " ms"
	case a < time.Second:
		return strconv.FormatFloat(float64(d)/1e6, 'f', 0, 64) + " ms"
	case a < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
	case a < 100*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	default:
		s := int64(d.Round(time.Second) / time.Second)
		if s < 3600 {
			return fmt.Sprintf("%d min %d s", s/60, s%60)
		}
		return fmt.Sprintf("%d h %d min", s/3600, s/60%60)
	}
}

// seconds writes a point in time so that a column of them aligns: to a tenth of a millisecond.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 4, 64) }

// Whole writes a number with commas between thousands.
func Whole[N int | int64 | float64](n N) string {
	digits := strconv.FormatFloat(math.Round(float64(n)), 'f', 0, 64)
	sign, digits := digits[:len(digits)-len(strings.TrimPrefix(digits, "-"))], strings.TrimPrefix(digits, "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Several is "1 promise", "7 promises".
func Several(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Whole(n) + " " + many
}

// Visible makes text of unknown origin safe to look at: whatever does not print, and could hide or reorder what stands
// around it or move a terminal's cursor, becomes its escape.
func Visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRune(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// short is Visible, with the middle left out if it is longer than most characters.
func short(s string, most int) string {
	r := []rune(Visible(s))
	if len(r) <= most {
		return string(r)
	}
	head := most * 2 / 3
	return string(r[:head]) + "…" + string(r[len(r)-(most-head-1):])
}

const mostOfValue = 40 // characters of a key or value that are shown

// request is what an operation asked for. The key is left out when it goes without saying.
func request(op history.Op, key bool) string {
	words := []string{Visible(string(op.Kind))}
	if op.Kind == history.Stale {
		words[0] = "serializable get"
	}
	if key {
		words = append(words, short(op.Key, mostOfValue))
		if op.Value != "" {
			words = append(words, "=")
		}
	}
	if op.Value != "" {
		words = append(words, short(op.Value, mostOfValue))
	}
	switch {
	case op.Kind == history.Swap && op.Expected == 0:
		words = append(words, "if there is no key")
	case op.Kind == history.Swap:
		words = append(words, "if at revision "+strconv.FormatInt(op.Expected, 10))
	}
	return strings.Join(words, " ")
}

// answer is what a client was told, or was not.
func answer(op history.Op) string {
	if op.Outcome != history.OK {
		text := Visible(string(op.Outcome))
		if op.Error != "" {
			text += ": " + short(op.Error, 120)
		}
		return text
	}
	found := "found nothing"
	if op.ModRevision != 0 || op.Found != "" {
		found = fmt.Sprintf("found %s of revision %d", short(op.Found, mostOfValue), op.ModRevision)
	}
	switch {
	case op.Kind == history.Get || op.Kind == history.Stale:
		return found
	case op.Kind == history.Swap && !op.Applied:
		return "not swapped, " + found
	case op.Kind == history.Swap:
		return "swapped"
	case op.Kind == history.Delete && !op.Applied:
		return "nothing to delete"
	case op.Kind == history.Delete:
		return "deleted"
	default:
		return "ok"
	}
}
