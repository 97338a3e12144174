package secure

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
)

// live is a session without a connection, with the standard library's other end: what the
// client sends can be changed on its way.
type live struct {
	alloc *buffers.Allocator
	cache *buffers.Cache
	woken chan struct{}

	toServer chan []byte
	ended    chan struct{} // the client's connection
	end      sync.Once

	mu       sync.Mutex
	more     *sync.Cond
	toClient []byte
	over     bool
}

// host implements conn.SessionHost.
func (l *live) Wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}
func (l *live) Spawn(f func())                { go f() }
func (l *live) Allocator() *buffers.Allocator { return l.alloc }
func (l *live) Cache() *buffers.Cache         { return l.cache }
func (l *live) LocalAddr() conn.Addr          { return conn.Addr{} }
func (l *live) RemoteAddr() conn.Addr         { return conn.Addr{} }

// clientConn is the client's network.
type clientConn struct{ *live }

func (c clientConn) Write(p []byte) (int, error) {
	select {
	case c.toServer <- append([]byte(nil), p...):
		return len(p), nil
	case <-c.ended:
		return 0, net.ErrClosed
	}
}

func (c clientConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.toClient) == 0 && !c.over {
		c.more.Wait()
	}
	if len(c.toClient) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.toClient)
	c.toClient = c.toClient[n:]
	return n, nil
}

func (c clientConn) Close() error {
	c.live.end.Do(func() { close(c.ended) })
	return nil
}
func (c clientConn) LocalAddr() net.Addr              { return conn.Addr{} }
func (c clientConn) RemoteAddr() net.Addr             { return conn.Addr{} }
func (c clientConn) SetDeadline(time.Time) error      { return nil }
func (c clientConn) SetReadDeadline(time.Time) error  { return nil }
func (c clientConn) SetWriteDeadline(time.Time) error { return nil }

// answer lets the client have q; over: nothing follows.
func (l *live) answer(q *buffers.Chain, over bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range q.Vectors(make([][]byte, 0, 1000), 1<<30) {
		l.toClient = append(l.toClient, p...)
	}
	q.Consume(l.cache, q.Len())
	l.over = l.over || over
	l.more.Broadcast()
}

// talk has the client shake hands and send a message, which comes back, with change applied to
// each of its writes. It returns what the session has said, nil for a clean end.
func talk(t testing.TB, x *Context, version uint16, change func([]byte) []byte) (serverErr, clientErr error) {
	l := &live{
		alloc: buffers.New(buffers.Config{Debug: true}), woken: make(chan struct{}, 1),
		toServer: make(chan []byte), ended: make(chan struct{}),
	}
	l.more, l.cache = sync.NewCond(&l.mu), l.alloc.NewCache()
	made, err := x.NewSession(conn.Server, "")
	if err != nil {
		t.Fatal(err)
	}
	s := made.(*session)
	if err := s.Start(l); err != nil {
		t.Fatal(err)
	}
	client := make(chan error, 1)
	go func() {
		c := tls.Client(clientConn{l}, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
		err := func() error {
			if _, err := c.Write([]byte("hello")); err != nil {
				return err
			}
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
				return err
			}
			return c.CloseWrite()
		}()
		_ = clientConn{l}.Close()
		client <- err
	}()
	var dst, src, reply, wire buffers.Chain
	gone := l.ended
	fin := false
	for serverErr == nil {
		select {
		case p := <-l.toServer:
			src.AppendCopy(l.cache, nil, change(p), false, false)
		case <-l.woken:
		case <-gone:
			gone, fin = nil, true
		}
		before := src.Len()
		serverErr = s.Open(&dst, &src, &reply, fin)
		if dst.Len() > 0 && serverErr == nil {
			serverErr = s.Seal(&wire, &dst, 64<<10)
			wire.MoveAll(&reply)
		}
		if fin && serverErr == nil && s.Ready() && src.Len() == before {
			serverErr = io.ErrUnexpectedEOF
		}
		l.answer(&reply, serverErr != nil)
	}
	s.Abort(serverErr)
	_ = clientConn{l}.Close()
	clientErr = <-client
	for _, q := range []*buffers.Chain{&dst, &src, &reply, &wire} {
		q.Release(l.cache)
	}
	for x.gate.Pending() > 0 { // its goroutine is on its way out
		<-l.woken
	}
	l.cache.Close()
	if n := l.alloc.Stats().Outstanding; n != 0 {
		t.Errorf("%d blocks weren't given back", n)
	}
	if errors.Is(serverErr, io.EOF) {
		serverErr = nil
	}
	return serverErr, clientErr
}

func liveContext(t testing.TB) *Context {
	t.Helper()
	self, err := SelfSigned(time.Hour, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	x, err := NewContext(Config{Certificates: []Certificate{self}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// Unchanged, it works; and wherever a byte is changed, the two don't agree on anything.
func TestLiveHandshake(t *testing.T) {
	x := liveContext(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if s, c := talk(t, x, version, func(p []byte) []byte { return p }); s != nil || c != nil {
			t.Errorf("version %x: %v, %v", version, s, c)
		}
		for at := 0; at < 3000; at += 97 {
			seen := 0
			s, c := talk(t, x, version, func(p []byte) []byte {
				if i := at - seen; i >= 0 && i < len(p) {
					p[i] ^= 0x5a
				}
				seen += len(p)
				return p
			})
			if at < seen && s == nil && c == nil {
				t.Errorf("version %x: byte %d was changed, and nobody minds", version, at)
			}
		}
	}
}

// FuzzHandshake changes what a client sends, while both ends live: bytes are changed, cut out
// and put in. Whatever comes of that, nothing panics or hangs, and all memory is given back.
func FuzzHandshake(f *testing.F) {
	for _, seed := range [][]byte{{0}, {1, 0, 5, 3}, {0, 1, 200, 9, 0, 0, 3, 1}, {1, 2, 10, 255, 0, 40, 80, 2}} {
		f.Add(seed)
	}
	x := liveContext(f)
	f.Fuzz(func(t *testing.T, how []byte) {
		version := uint16(tls.VersionTLS12)
		if len(how) > 0 && how[0]&1 == 1 {
			version = tls.VersionTLS13
		}
		how = how[min(1, len(how)):]
		_, _ = talk(t, x, version, func(p []byte) []byte {
			for len(how) >= 3 && len(p) > 0 {
				at, what := (int(how[0])<<8|int(how[1]))%len(p), how[2]
				how = how[3:]
				switch what % 4 {
				case 0:
					return p // this one stays
				case 1:
					p[at] ^= what
				case 2:
					p = append(p[:at], p[min(len(p), at+int(what)):]...)
				default:
					p = append(p[:at:at], append(make([]byte, int(what)*8), p[at:]...)...)
				}
			}
			return p
		})
	})
}
