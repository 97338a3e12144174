package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/bench/internal/echo"
)

// A kind is what a shape has the connections do.
type kind int

const (
	echoing    kind = iota // one message in flight on each connection
	connecting             // each connection lives for one echo
	publishing             // one message to all connections, again and again
	idling                 // silence, after one echo
)

var kinds = [...]string{"echo", "connect", "fanout", "idle"}

func (k kind) String() string { return kinds[k] }

func (k kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func (k *kind) UnmarshalText(text []byte) error {
	for i, name := range kinds {
		if name == string(text) {
			*k = kind(i)
			return nil
		}
	}
	return fmt.Errorf("%q: want one of %s", text, strings.Join(kinds[:], ", "))
}

// A shape is one kind of load.
type shape struct {
	Kind     kind `json:"kind"`
	Size     int  `json:"size"`
	Conns    int  `json:"conns"`    // of connecting: at a time
	Pipeline int  `json:"pipeline"` // requests that are sent together
	Active   int  `json:"active"`   // connections that aren't silent
	Loops    int  `json:"loops"`    // above 1 nothing is pinned
}

// String is the shape as Set reads it.
func (s shape) String() string {
	text := fmt.Sprintf("%dx%d", s.Size, s.Conns)
	if s.Size%(1<<10) == 0 {
		text = fmt.Sprintf("%dKx%d", s.Size>>10, s.Conns)
	}
	if s.Kind != echoing {
		text = s.Kind.String() + ":" + text
	}
	if s.Pipeline > 1 {
		text += fmt.Sprintf("/pipeline=%d", s.Pipeline)
	}
	if s.Active < s.Conns {
		text += fmt.Sprintf("/active=%d", s.Active)
	}
	if s.Loops > 1 {
		text += fmt.Sprintf("/loops=%d", s.Loops)
	}
	return text
}

// unit is what's counted.
func (s shape) unit() string {
	return [...]string{"echo", "connection", "delivery", "connection"}[s.Kind]
}

// units is the plural.
func (s shape) units() string {
	return [...]string{"echoes", "connections", "deliveries", "connections"}[s.Kind]
}

// describe is the shape in words.
func (s shape) describe() string {
	size := fmt.Sprintf("%d bytes", s.Size)
	if s.Size%(1<<10) == 0 {
		size = fmt.Sprintf("%d KiB", s.Size>>10)
	}
	conns := strconv.Itoa(s.Conns) + " connections"
	if s.Conns == 1 {
		conns = "1 connection"
	}
	var text string
	switch s.Kind {
	case echoing:
		text = size + " on " + conns
	case connecting:
		text = fmt.Sprintf("connect, echo %s, end; %d at a time", size, s.Conns)
	case publishing:
		text = fmt.Sprintf("one message of %s to %s from another goroutine", size, conns)
	case idling:
		text = fmt.Sprintf("%s after one echo of %s", conns, size)
	}
	if s.Pipeline > 1 {
		text += fmt.Sprintf(", %d requests at a time", s.Pipeline)
	}
	if s.Active < s.Conns {
		text += fmt.Sprintf(", of which %d are active", s.Active)
	}
	if s.Loops > 1 {
		text += fmt.Sprintf(", %d loops, nothing pinned", s.Loops)
	}
	return text
}

// shapes is a flag: 64x100,16Kx100/pipeline=16,fanout:64x1000.
type shapes []shape

func (l *shapes) String() string {
	words := make([]string, len(*l))
	for i, s := range *l {
		words[i] = s.String()
	}
	return strings.Join(words, ",")
}

func (l *shapes) Set(text string) error {
	var parsed shapes
	for _, word := range splitList(text) {
		s, err := parseShape(word)
		if err != nil {
			return fmt.Errorf("%q: %w", word, err)
		}
		parsed = append(parsed, s)
	}
	if len(parsed) == 0 {
		return fmt.Errorf("no shape in %q", text)
	}
	*l = parsed
	return nil
}

func parseShape(text string) (shape, error) {
	s := shape{Pipeline: 1, Loops: 1}
	if name, rest, ok := strings.Cut(text, ":"); ok {
		if err := s.Kind.UnmarshalText([]byte(name)); err != nil {
			return s, err
		}
		text = rest
	}
	words := strings.Split(text, "/")
	size, conns, ok := strings.Cut(words[0], "x")
	if !ok {
		return s, errors.New("want [KIND:]SIZExCONNECTIONS[/pipeline=N][/active=N][/loops=N]")
	}
	var err error
	if s.Size, err = parseSize(size); err != nil {
		return s, err
	}
	if s.Conns, err = strconv.Atoi(conns); err != nil {
		return s, err
	}
	s.Active = s.Conns
	for _, word := range words[1:] {
		if err := s.set(word); err != nil {
			return s, err
		}
	}
	switch {
	case s.Size < echo.MinSize || s.Conns < 1 || s.Loops < 1 || s.Pipeline < 1:
		return s, fmt.Errorf("want at least %d bytes, and 1 of everything else", echo.MinSize)
	case s.Active < 1 || s.Conns%s.Active != 0:
		return s, fmt.Errorf("%d of %d connections can't be active: want a divisor", s.Active, s.Conns)
	case s.Kind != echoing && (s.Pipeline > 1 || s.Active < s.Conns):
		return s, fmt.Errorf("pipeline and active are for echo, not for %v", s.Kind)
	}
	return s, nil
}

func (s *shape) set(option string) error {
	name, number, _ := strings.Cut(option, "=")
	n, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	switch name {
	case "pipeline":
		s.Pipeline = n
	case "active":
		s.Active = n
	case "loops":
		s.Loops = n
	default:
		return fmt.Errorf("%s: want pipeline, active or loops", option)
	}
	return nil
}

func parseSize(text string) (int, error) {
	unit := 1
	if digits, ok := strings.CutSuffix(text, "K"); ok {
		text, unit = digits, 1<<10
	} else if digits, ok := strings.CutSuffix(text, "M"); ok {
		text, unit = digits, 1<<20
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, err
	}
	return n * unit, nil
}
