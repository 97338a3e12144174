package framing

import (
	"bytes"
	"fmt"
)

// LineConfig configures a Line.
type LineConfig struct {
	Max  int  // the longest line in bytes, without its end; 0: DefaultMax
	CRLF bool // lines are written with \r\n instead of \n; read are both
}

// Line is the framing by lines, which end with \n or \r\n. The end isn't a part of the
// message; what follows the last one is no line.
type Line struct {
	max  int
	crlf bool
}

// NewLine checks the configuration.
func NewLine(c LineConfig) (*Line, error) {
	limit, err := maximum("LineConfig.Max", c.Max)
	if err != nil {
		return nil, err
	}
	return &Line{max: limit, crlf: c.CRLF}, nil
}

// longestEnd is the length of \r\n.
const longestEnd = 2

// Next implements Framing.
func (l *Line) Next(p []byte, seen int) (Frame, error) {
	within := p
	if len(p)-longestEnd > l.max {
		within = p[:l.max+longestEnd]
	}
	from := min(seen, len(within))
	i := bytes.IndexByte(within[from:], '\n')
	if i < 0 {
		if len(p)-longestEnd >= l.max {
			return Frame{}, endless(l.max)
		}
		return Frame{Need: len(p) + 1}, nil
	}
	end := from + i
	need := end + 1
	if end > 0 && p[end-1] == '\r' {
		end--
	}
	if end > l.max {
		return Frame{}, endless(l.max)
	}
	return settled(0, end, need), nil
}

// AppendHead implements Encoder. Nothing precedes a line, which must be one only.
func (l *Line) AppendHead(dst, msg []byte) ([]byte, error) {
	if len(msg) > l.max {
		return dst, &TooLongError{Max: l.max, Size: uint64(len(msg))}
	}
	if i := bytes.IndexByte(msg, '\n'); i >= 0 {
		return dst, fmt.Errorf("%w: the line ends at byte %d already", ErrUnframable, i)
	}
	if !l.crlf && len(msg) > 0 && msg[len(msg)-1] == '\r' {
		return dst, fmt.Errorf(`%w: a \r at the end of the line would be lost: set LineConfig.CRLF`, ErrUnframable)
	}
	return dst, nil
}

// AppendTail implements Encoder.
func (l *Line) AppendTail(dst []byte) []byte {
	if l.crlf {
		dst = append(dst, '\r')
	}
	return append(dst, '\n')
}
