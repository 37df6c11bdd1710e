package main

import "slices"

// spread is the middle and the ends of a set of figures.
type spread struct{ median, least, most float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
	return spread{middle, sorted[0], sorted[len(sorted)-1]}
}

// figures are one figure of all rounds; fewer when some have none.
func figures(rounds []sample, name string) (values []float64) {
	for _, s := range rounds {
		if v, ok := s[name]; ok {
			values = append(values, v)
		}
	}
	return values
}

// ratios divide a figure of each round by the same figure of the same round of another system.
func ratios(a, b []sample, name string) (values []float64) {
	for i := range min(len(a), len(b)) {
		if b[i][name] != 0 {
			values = append(values, a[i][name]/b[i][name])
		}
	}
	return values
}
