package config

// didYouMean suggests the known name that is nearest to a misspelt one, or
// nothing if none is near.
func didYouMean(name string, known []string) string {
	return nearest(name, known, max(2, len(name)/3))
}

// nearest is didYouMean with a limit on how many letters may differ.
func nearest(name string, known []string, limit int) string {
	best, distance := "", limit+1
	for _, k := range known {
		if d := editDistance(name, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance counts the insertions, deletions and replacements between two
// names (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
