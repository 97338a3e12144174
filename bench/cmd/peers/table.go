package main

import (
	"fmt"
	"slices"
	"strings"
)

// A table has a line for each row and a column for each server.
type table struct {
	servers []string
	lines   []line
}

type line struct {
	row   row
	cells []cell
}

// markdown also reads well in a terminal: its columns are aligned.
func (t table) markdown() string {
	grid := [][]string{append([]string{""}, t.servers...)}
	better := false
	for _, l := range t.lines {
		words := []string{l.row.name}
		for _, c := range l.cells {
			text := c.String()
			if c.better {
				better = true
				text += " ¹"
			}
			words = append(words, text)
		}
		grid = append(grid, words)
	}
	widths := make([]int, len(grid[0]))
	for _, words := range grid {
		for i, word := range words {
			widths[i] = max(widths[i], len([]rune(word)))
		}
	}
	var text strings.Builder
	for i, words := range grid {
		for j, word := range words {
			fmt.Fprintf(&text, "| %-*s ", widths[j], word)
		}
		text.WriteString("|\n")
		if i == 0 {
			for _, width := range widths {
				text.WriteString("|" + strings.Repeat("-", width+2))
			}
			text.WriteString("|\n")
		}
	}
	if better {
		text.WriteString("\n¹ better than it was when the list of defects was made, or than what was read in its source.\n")
	}
	return text.String()
}

// failures names the rows in which a server fails.
func (t table) failures(server string) (names []string) {
	i := slices.Index(t.servers, server)
	if i < 0 {
		return nil
	}
	for _, l := range t.lines {
		if l.cells[i].verdict == fails {
			names = append(names, l.row.name+": "+l.cells[i].text)
		}
	}
	return names
}
