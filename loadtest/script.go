package loadtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

// A Script is a protocol as a list of exchanges, which each connection goes through again
// and again. It's read from text:
//
//	# one exchange: a request, and what is expected
//	send "SET {connection} {payload}\r\n"
//	expect "+OK\r\n"
//
//	send "GET {connection}\r\n"
//	until "\r\n"
//
// The strings are Go's. expect wants exactly these bytes, until takes whatever comes up to
// and including its string. In send and expect, {payload} stands for the message's payload
// as text, {connection} and {sequence} for its numbers; the payload of an exchange is that
// of its own message.
type Script struct {
	exchanges []exchange
	payload   Payload
	sum       uint32 // of the lines that count
}

type exchange struct {
	send, reply []part
	until       []byte // instead of reply
}

// part is bytes, or stands for some.
type part struct {
	literal string
	stands  func(b []byte, m Message, p Payload) []byte // nil: for itself
}

var standIns = map[string]func(b []byte, m Message, p Payload) []byte{
	"{payload}":    func(b []byte, m Message, p Payload) []byte { return p.Append(b, m) },
	"{connection}": func(b []byte, m Message, _ Payload) []byte { return strconv.AppendUint(b, m.Connection, 10) },
	"{sequence}":   func(b []byte, m Message, _ Payload) []byte { return strconv.AppendUint(b, m.Sequence, 10) },
}

// ReadScript reads a script. With verify off, payloads are constant; everything else is
// still compared.
func ReadScript(r io.Reader, verify bool) (*Script, error) {
	s := &Script{payload: Text}
	if !verify {
		s.payload = Constant
	}
	lines := bufio.NewScanner(r)
	complete := true
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := s.add(line, &complete); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		s.sum = crc32.Update(s.sum, crc32.IEEETable, []byte(line+"\n"))
	}
	switch {
	case lines.Err() != nil:
		return nil, lines.Err()
	case len(s.exchanges) == 0:
		return nil, errors.New("the script is empty: it needs a send and an expect")
	case !complete:
		return nil, errors.New("the last send has no expect or until after it")
	}
	return s, nil
}

func (s *Script) add(line string, complete *bool) error {
	word, quoted, _ := strings.Cut(line, " ")
	text, err := strconv.Unquote(strings.TrimSpace(quoted))
	if err != nil || text == "" {
		return fmt.Errorf(`%s: want send, expect or until with a string in quotes such as "PING\r\n"`, line)
	}
	if (word == "send") != *complete {
		return fmt.Errorf("%s: a send comes first, and then one expect or until", line)
	}
	switch word {
	case "send":
		s.exchanges = append(s.exchanges, exchange{send: parts(text)})
	case "expect":
		s.exchanges[len(s.exchanges)-1].reply = parts(text)
	case "until":
		s.exchanges[len(s.exchanges)-1].until = []byte(text)
	default:
		return fmt.Errorf("%s: want send, expect or until", line)
	}
	*complete = word != "send"
	return nil
}

// parts splits a text at what stands for something else.
func parts(text string) []part {
	var all []part
	for text != "" {
		at, name := len(text), ""
		for n := range standIns {
			if i := strings.Index(text, n); i >= 0 && i < at {
				at, name = i, n
			}
		}
		if at > 0 {
			all = append(all, part{literal: text[:at]})
		}
		if name != "" {
			all = append(all, part{stands: standIns[name]})
		}
		text = text[at+len(name):]
	}
	return all
}

func (s *Script) exchange(m Message) *exchange {
	return &s.exchanges[m.Sequence%uint64(len(s.exchanges))]
}

func (s *Script) appendParts(b []byte, all []part, m Message) []byte {
	for _, p := range all {
		if p.stands == nil {
			b = append(b, p.literal...)
		} else {
			b = p.stands(b, m, s.payload)
		}
	}
	return b
}

// AppendRequest implements Codec.
func (s *Script) AppendRequest(b []byte, m Message) []byte {
	return s.appendParts(b, s.exchange(m).send, m)
}

// CheckReply implements Codec.
func (s *Script) CheckReply(m Message, b []byte) (int, error) {
	e := s.exchange(m)
	if e.until != nil {
		at := bytes.Index(b, e.until)
		if at < 0 {
			return 0, nil
		}
		return at + len(e.until), nil
	}
	want := s.appendParts(make([]byte, 0, 256), e.reply, m)
	n := min(len(b), len(want))
	if !bytes.Equal(b[:n], want[:n]) {
		return 0, fmt.Errorf("%q instead of %q", b[:n], want[:n])
	}
	if n < len(want) {
		return 0, nil
	}
	return n, nil
}

// String tells scripts apart by a checksum: results of different ones aren't comparable.
func (s *Script) String() string {
	return fmt.Sprintf("script of %d (%08x)", len(s.exchanges), s.sum)
}
