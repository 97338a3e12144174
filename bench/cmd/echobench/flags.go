package main

import (
	"fmt"
	"strings"
)

// A customServer is one that the command line brings, already built.
type customServer struct {
	Name string   `json:"name"`
	Args []string `json:"args"`
}

// customServers is a flag that may be repeated: name='command line with {addr}'.
type customServers []customServer

func (l *customServers) String() string {
	names := make([]string, len(*l))
	for i, c := range *l {
		names[i] = c.Name
	}
	return strings.Join(names, ",")
}

func (l *customServers) Set(text string) error {
	name, command, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q: want name='command line'", text)
	}
	args, err := splitCommand(command)
	if err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	if len(args) == 0 || !strings.Contains(command, "{addr}") {
		return fmt.Errorf("%q: want a command line with {addr} in it", text)
	}
	*l = append(*l, customServer{Name: name, Args: args})
	return nil
}

// splitCommand splits at blanks, except between single or double quotes; there
// are no escapes, and no shell is involved.
func splitCommand(line string) ([]string, error) {
	var (
		args  []string
		word  strings.Builder
		begun bool // also true for the empty word ''
		quote rune
	)
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case r == ' ' || r == '\t':
			if begun {
				args = append(args, word.String())
				word.Reset()
				begun = false
			}
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%c without its end", quote)
	}
	if begun {
		args = append(args, word.String())
	}
	return args, nil
}

// splitList splits at commas; the empty text is the empty list.
func splitList(text string) []string {
	var list []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			list = append(list, word)
		}
	}
	return list
}
