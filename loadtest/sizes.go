package loadtest

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

// maxSize is the largest message in bytes.
const maxSize = 64 << 20

// Sizes are the lengths of messages, in bytes: alternatives with weights, each of which is
// one length or a range with equal chances. Which one a message has follows from its
// numbers, so both ends of a comparison can tell. The zero value is 64 bytes always.
type Sizes struct {
	alternatives []alternative
	text         string
}

// alternative is a range of sizes, with the weights of all up to and including it.
type alternative struct {
	low, high int
	upTo      uint64
}

const (
	defaultSize = 64
	sizesWant   = "want a size such as 64, a range such as 64-1024, or several with weights such as 64:9,16384:1"
)

// ParseSizes reads 64, 64-1024, or a list with weights: 64:9,1024-2048:1.
func ParseSizes(text string) (Sizes, error) {
	s := Sizes{text: text}
	for one := range strings.SplitSeq(text, ",") {
		if err := s.add(strings.TrimSpace(one)); err != nil {
			return Sizes{}, err
		}
	}
	return s, nil
}

// ReadSizes reads a list with one alternative to a line; # begins a comment.
func ReadSizes(r io.Reader) (Sizes, error) {
	var s Sizes
	var sum uint32 // tells lists apart: results of different ones aren't comparable
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := s.add(line); err != nil {
			return Sizes{}, err
		}
		sum = crc32.Update(sum, crc32.IEEETable, []byte(line+"\n"))
	}
	if len(s.alternatives) == 0 && lines.Err() == nil {
		return Sizes{}, fmt.Errorf("no size is in it: %s", sizesWant)
	}
	s.text = fmt.Sprintf("%d alternatives from a file (%08x)", len(s.alternatives), sum)
	return s, lines.Err()
}

func (s *Sizes) add(text string) error {
	sizes, weight, weighted := strings.Cut(text, ":")
	low, high, isRange := strings.Cut(sizes, "-")
	if !isRange {
		high = low
	}
	a := alternative{upTo: 1}
	var errs [3]error
	a.low, errs[0] = strconv.Atoi(low)
	a.high, errs[1] = strconv.Atoi(high)
	if weighted {
		a.upTo, errs[2] = strconv.ParseUint(weight, 10, 31)
	}
	if errs != [3]error{} || a.low < 1 || a.low > a.high || a.upTo == 0 {
		return fmt.Errorf("%q: %s", text, sizesWant)
	}
	if a.high > maxSize {
		return fmt.Errorf("%q: messages have at most %d bytes", text, maxSize)
	}
	if n := len(s.alternatives); n > 0 {
		a.upTo += s.alternatives[n-1].upTo
	}
	s.alternatives = append(s.alternatives, a)
	return nil
}

// of is the size of a message.
func (s Sizes) of(connection, sequence uint64) int {
	switch {
	case len(s.alternatives) == 0:
		return defaultSize
	case len(s.alternatives) == 1 && s.alternatives[0].low == s.alternatives[0].high:
		return s.alternatives[0].low
	}
	random := mix(connection ^ mix(sequence))
	at := random % s.alternatives[len(s.alternatives)-1].upTo
	for _, a := range s.alternatives {
		if at < a.upTo {
			return a.low + int(mix(random)%uint64(a.high-a.low+1))
		}
	}
	panic("loadtest: weights don't add up")
}

// largest is the longest message there can be.
func (s Sizes) largest() int {
	most := 0
	for _, a := range s.alternatives {
		most = max(most, a.high)
	}
	if most == 0 {
		return defaultSize
	}
	return most
}

func (s Sizes) String() string {
	if s.text == "" {
		return strconv.Itoa(defaultSize)
	}
	return s.text
}
