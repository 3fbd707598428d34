package web

import "strings"

// diffLine is a line of two texts compared: Sign is "-" for one that only the
// old text has, "+" for one that only the new has, " " for both.
type diffLine struct {
	Sign string
	Text string
}

// maxDiff bounds the lines of each text that are compared.
const maxDiff = 2000

// diffLines compares two texts by their longest common subsequence of lines.
func diffLines(old, changed string) []diffLine {
	a, b := strings.Split(old, "\n"), strings.Split(changed, "\n")
	a, b = a[:min(len(a), maxDiff)], b[:min(len(b), maxDiff)]
	// common[i][j] is the length for a[i:] and b[j:].
	common := make([][]int32, len(a)+1)
	for i := range common {
		common[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var d []diffLine
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			d = append(d, diffLine{" ", a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			d = append(d, diffLine{"-", a[i]})
			i++
		default:
			d = append(d, diffLine{"+", b[j]})
			j++
		}
	}
	return d
}
