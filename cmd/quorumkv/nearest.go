package main

import "fmt"

// suggest returns "; did you mean X?" for the candidate closest to a mistyped word, or nothing when none is close.
// format shows the candidate the way the user would write it.
func suggest(word string, candidates []string, format string) string {
	best, distance := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		if d := edits(word, c); d < distance {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean "+format+"?", best)
}

// edits counts the single-letter insertions, deletions, replacements and swaps of neighbours that turn a into b.
func edits(a, b string) int {
	before, row := []int(nil), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
