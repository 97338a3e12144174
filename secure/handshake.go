package secure

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/lock"
)

// handshake is what a session has while a goroutine makes its handshake, and no longer: the
// way of the bytes between that goroutine, which waits, and the loop, which doesn't.
type handshake struct {
	// Immutable.
	gate *Gate
	host conn.SessionHost

	arrived chan struct{} // signalled: look again
	ended   chan struct{} // closed by end

	slot  bool // the goroutine has one of the gate's: its own
	hello bool // a ClientHello comes first: the loop's

	// Guarded by mu.
	mu     lock.Mutex
	in     []byte        // received, for crypto/tls
	out    buffers.Chain // from crypto/tls, to be sent
	fin    bool          // nothing follows in
	err    error         // why it's over, by the loop
	done   bool          // the goroutine has ended
	result error         // … with this
}

func newHandshake(role conn.Role, host conn.SessionHost, gate *Gate) *handshake {
	return &handshake{gate: gate, host: host, hello: role == conn.Server, arrived: make(chan struct{}, 1), ended: make(chan struct{})}
}

var errGoexit = errors.New("runtime.Goexit was called in a handshake")

// run is the goroutine.
func (h *handshake) run(c *tls.Conn) {
	err := errGoexit // unless shake returns
	defer func() {
		h.leave()
		h.gate.end()
		h.mu.Lock()
		h.done, h.result = true, err
		h.mu.Unlock()
		h.host.Wake()
	}()
	if h.enter(); h.slot { // else it was ended before, and nobody asks what has come of it
		err = shake(c)
	}
}

// shake makes the handshake. What the program's own functions panic with is an error.
func shake(c *tls.Conn) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic in a handshake: %v\n%s", v, debug.Stack())
		}
	}()
	if err = c.Handshake(); errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // no end is clean here
	}
	return err
}

// await waits for input. On the goroutine, as is all that crypto/tls calls.
func (h *handshake) await() error {
	h.mu.Lock()
	for len(h.in) == 0 && !h.fin && h.err == nil {
		h.mu.Unlock()
		h.host.Wake() // for what was written before, and for more input
		h.leave()
		select {
		case <-h.arrived:
		case <-h.ended:
		}
		h.enter()
		h.mu.Lock()
	}
	defer h.mu.Unlock()
	switch {
	case h.err != nil:
		return h.err
	case len(h.in) == 0:
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (h *handshake) take(p []byte) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := copy(p, h.in)
	h.in = h.in[n:]
	return n
}

func (h *handshake) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return 0, h.err
	}
	h.out.AppendCopy(nil, h.host.Allocator(), p, false, false)
	return len(p), nil
}

// enter waits for a slot of the gate; leave gives it up.
func (h *handshake) enter() { h.slot = h.gate.enter(h.ended) }

func (h *handshake) leave() {
	if h.slot {
		h.slot = false
		h.gate.leave()
	}
}

// exchange passes input on, as much as the handshake can do with at a time, and output out; done:
// it's over, with what it has come to. On the loop, as is the rest.
func (h *handshake) exchange(src, reply *buffers.Chain, fin bool) (done bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for src.Len() > 0 && len(h.in) < maxRecord {
		p := src.Front()
		h.in = append(h.in, p...)
		src.Consume(h.host.Cache(), len(p))
	}
	if h.hello {
		h.hello = false
		h.in = halved(h.in)
	}
	h.fin = fin && src.Len() == 0
	if len(h.in) > 0 || h.fin {
		select {
		case h.arrived <- struct{}{}:
		default:
		}
	}
	h.out.MoveAll(reply)
	return h.done, h.result
}

// halved makes two records of the first, which are as good for a message of the handshake.
// crypto/tls keeps what memory its largest record needed, and 512 bytes, as long as the
// connection lives; and a ClientHello with a post-quantum key is larger than most of what
// follows.
func halved(in []byte) []byte {
	const worthwhile = 512
	if len(in) < recordHeader || in[0] != handshakeRecord {
		return in
	}
	version, body := in[1:3], in[recordHeader:]
	n := int(binary.BigEndian.Uint16(in[3:]))
	if n < worthwhile || n > min(len(body), maxPlaintext) {
		return in
	}
	hello, after := body[:n], body[n:]
	out := make([]byte, 0, len(in)+recordHeader)
	for _, part := range [][]byte{hello[:n/2], hello[n/2:]} {
		out = append(append(out, handshakeRecord), version...)
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(part))), part...)
	}
	return append(out, after...)
}

// end makes whoever waits, and each later call, fail.
func (h *handshake) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
		close(h.ended)
	}
	h.out.Release(nil)
	h.in = nil
}
