package loadtest_test

import (
	"flag"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

const faultSize = 64

// faultMessages is how many messages there are to the one that is wrong. By default fewer
// than the 100,000, which take a minute under the race detector.
var faultMessages = flag.Uint64("fault-messages", 5000, "messages of which one is wrong")

// faulty echoes whole messages, and does something wrong with a single one.
type faulty struct {
	at    int // which, of all messages of all connections
	fault func(f *faulty, c net.Conn, message []byte) error

	mu     sync.Mutex
	number int
	stray  []byte   // a message that another connection gets
	from   net.Conn // whose it was
}

// take returns the stray message to another connection than its own.
func (f *faulty) take(c net.Conn) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.from == c {
		return nil
	}
	m := f.stray
	f.stray = nil
	return m
}

func (f *faulty) handle(c net.Conn) {
	message := make([]byte, faultSize)
	for {
		if _, err := io.ReadFull(c, message); err != nil {
			return
		}
		f.mu.Lock()
		f.number++
		wrong := f.number == f.at
		f.mu.Unlock()
		if !wrong {
			if write(c, append(f.take(c), message...)) != nil {
				return
			}
			continue
		}
		if err := f.fault(f, c, message); err != nil {
			return
		}
	}
}

func write(c net.Conn, b []byte) error {
	_, err := c.Write(b)
	return err
}

func drop(*faulty, net.Conn, []byte) error { return nil }

func duplicate(_ *faulty, c net.Conn, m []byte) error { return write(c, append(m, m...)) }

func corrupt(_ *faulty, c net.Conn, m []byte) error {
	m = append([]byte(nil), m...)
	m[40] ^= 4
	return write(c, m)
}

func insert(_ *faulty, c net.Conn, m []byte) error {
	return write(c, append(append(append([]byte(nil), m[:30]...), 'x'), m[30:]...))
}

func reorder(_ *faulty, c net.Conn, m []byte) error {
	later := make([]byte, len(m))
	if _, err := io.ReadFull(c, later); err != nil {
		return err
	}
	return write(c, append(later, m...))
}

func crossWire(f *faulty, c net.Conn, m []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stray, f.from = append([]byte(nil), m...), c
	return nil
}

// Issue: a server that drops, duplicates, reorders, corrupts or cross-wires one message in
// 100,000 is caught by name each time.
func TestFaultsAreNamed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		fault    func(*faulty, net.Conn, []byte) error
		inFlight int
		want     map[result.ErrorKind]uint64
		says     string
	}{
		{"drop", drop, 8, map[result.ErrorKind]uint64{result.Lost: 1}, "never came"},
		{"drop the only one", drop, 1, map[result.ErrorKind]uint64{result.Lost: 1}, "never came"},
		{"duplicate", duplicate, 8, map[result.ErrorKind]uint64{result.Duplicated: 1}, "came again"},
		{"duplicate the only one", duplicate, 1, map[result.ErrorKind]uint64{result.Duplicated: 1}, "came again"},
		{"reorder", reorder, 8, map[result.ErrorKind]uint64{result.Reordered: 1}, "came after that to message"},
		{"corrupt", corrupt, 8, map[result.ErrorKind]uint64{result.Corrupted: 1}, "byte 40 is"},
		{"corrupt the only one", corrupt, 1, map[result.ErrorKind]uint64{result.Corrupted: 1}, "byte 40 is"},
		{"insert a byte", insert, 8, map[result.ErrorKind]uint64{result.Corrupted: 1}, "byte 30 is 0x78"},
		{"cross-wire", crossWire, 8, map[result.ErrorKind]uint64{result.CrossTalk: 1, result.Lost: 1}, "of connection 0000abcd-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			messages := *faultMessages
			f := &faulty{at: int(messages) / 2, fault: tt.fault}
			r, total := run(t, loadtest.Load{
				Targets:     []loadtest.Target{serve(t, listen(t), f.handle)},
				Connections: 4,
				InFlight:    tt.inFlight,
				Messages:    messages,
				Timeout:     5 * time.Second,
				Seed:        0xabcd,
			})
			if len(total.Errors) != len(tt.want) {
				t.Errorf("%v, want %v\n%v", total.Errors, tt.want, r.Examples)
			}
			for kind, n := range tt.want {
				if total.Errors[kind] != n {
					t.Errorf("%v, want %v\n%v", total.Errors, tt.want, r.Examples)
				}
				if text := r.Examples[kind].Text; !strings.HasPrefix(text, "connection 0000abcd-") {
					t.Errorf("it doesn't say where: %q", text)
				}
			}
			said := false
			for _, e := range r.Examples {
				said = said || strings.Contains(e.Text, tt.says)
			}
			if !said {
				t.Errorf("%q isn't in %v", tt.says, r.Examples)
			}
			if total.Faults() == 0 || total.Sent != messages {
				t.Errorf("%d faults, %d messages", total.Faults(), total.Sent)
			}
		})
	}
}

// A wrong byte in a stream that is never quiet is one fault: what was cut short on our side
// isn't the server's.
func TestOneFaultAmongLargeMessages(t *testing.T) {
	t.Parallel()
	sizes, err := loadtest.ParseSizes("300000")
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	target := serve(t, listen(t), func(c net.Conn) {
		b, total := make([]byte, 64<<10), 0
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			if total += n; total > 3_000_000 {
				once.Do(func() { b[0] ^= 1 })
			}
			if write(c, b[:n]) != nil {
				return
			}
		}
	})
	r, total := run(t, loadtest.Load{
		Targets: []loadtest.Target{target}, Connections: 1, InFlight: 8, Sizes: sizes, Messages: 60,
	})
	if len(total.Errors) != 1 || total.Errors[result.Corrupted] != 1 {
		t.Errorf("%v, want one corrupted\n%v", total.Errors, r.Examples)
	}
}
