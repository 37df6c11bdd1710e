package main

import (
	"slices"
	"strings"
)

// nearest returns the candidate that a user most likely meant by name, or "" when none is close. An abbreviation
// counts as close; otherwise at most a third of the letters may differ. The first of equals wins.
func nearest(name string, candidates []string) string {
	best, bestDistance := "", len(name)/3+1
	for _, c := range candidates {
		d := distance(name, c)
		if len(name) >= 3 && strings.HasPrefix(c, name) {
			d = 0
		}
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// nearestOf returns the candidates, three at most, that a user may have meant by name, the nearest first. Half of the
// letters may differ: it is for a choice of few, where a guess costs nothing.
func nearestOf(name string, candidates []string) []string {
	near := slices.DeleteFunc(slices.Clone(candidates), func(c string) bool {
		return distance(name, c) > max(len(name), len(c))/2 && !(len(name) >= 3 && strings.Contains(c, name))
	})
	slices.SortStableFunc(near, func(a, b string) int { return distance(name, a) - distance(name, b) })
	return near[:min(3, len(near))]
}

// distance is the Levenshtein distance: the number of letters to insert, delete or replace to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
