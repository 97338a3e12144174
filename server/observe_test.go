package server_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// debugLog is a slog.Handler that keeps the messages about connections.
type debugLog struct {
	mu    sync.Mutex
	lines []string
}

func (*debugLog) Enabled(context.Context, slog.Level) bool { return true }
func (d *debugLog) WithAttrs([]slog.Attr) slog.Handler     { return d }
func (d *debugLog) WithGroup(string) slog.Handler          { return d }

func (d *debugLog) Handle(_ context.Context, r slog.Record) error {
	if !strings.HasPrefix(r.Message, "connection ") {
		return nil
	}
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "id" && a.Key != "peer" {
			line += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		}
		return true
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
	return nil
}

// DESIGN: log/slog with one switchable category per socket kind; the log tells why each
// connection closed.
func TestLogCategories(t *testing.T) {
	cases := []struct {
		mute conn.LogCategories
		want string
	}{
		{0, "tcp unix"}, {conn.LogTCP, "unix"}, {conn.LogUnix, "tcp"}, {conn.LogTCP | conn.LogUnix, ""},
	}
	for _, tc := range cases {
		t.Run(tc.want, func(t *testing.T) {
			d := &debugLog{}
			rec := newRecorder(echoing())
			f := start(t, "tcp", rec, func(c *server.Config) {
				c.Logger, c.Mute = slog.New(d), tc.mute
				c.Listeners = append(c.Listeners, server.Listener{Name: "file", Network: "unix", Address: socketPath(t)})
			})
			for i, l := range []string{"main", "file"} {
				bound := f.srv.Addrs()[l][0]
				p := dial(t, bound.Network(), bound.String())
				p.echo("up")
				p.Close()
				rec.released(t, rec.next(t, i))
			}
			f.stop()
			var kinds []string
			for _, kind := range []string{"tcp", "unix"} {
				name := map[string]string{"tcp": "main", "unix": "file"}[kind]
				want := fmt.Sprintf("connection closed category=%s listener=%s reason=peer_closed", kind, name)
				for _, l := range d.lines {
					if l == want {
						kinds = append(kinds, kind)
					}
				}
			}
			if got := strings.Join(kinds, " "); got != tc.want {
				t.Errorf("logged %v", d.lines)
			}
		})
	}
}

// seed-contract.md: LOG_TCP, LOG_LDS, switchable. Whether an outgoing connection is of one or
// the other is known only when it is made.
func TestLogCategoriesOfOutgoing(t *testing.T) {
	cases := []struct {
		mute conn.LogCategories
		want string
	}{
		{0, "tcp unix"}, {conn.LogTCP, "unix"}, {conn.LogUnix, "tcp"}, {conn.LogTCP | conn.LogUnix, ""},
	}
	for _, tc := range cases {
		t.Run(tc.want, func(t *testing.T) {
			l, d := &debugLog{}, newDialer()
			srv := startDialer(t, d, func(c *server.Config) { c.Logger, c.Mute = slog.New(l), tc.mute })
			var log []string
			for _, network := range []string{"tcp", "unix"} {
				c, err := srv.Connect(t.Context(), server.Target{Network: network, Address: echoServer(t, network)}, network)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Shutdown(); err != nil {
					t.Error(err)
				}
				c.Release()
				log = append(log, "created", "before "+network, "established", "closed local_shutdown", "released")
				d.wait(t, log...)
			}
			var kinds []string
			for _, line := range l.lines {
				var kind string
				if _, err := fmt.Sscanf(line, "connection closed category=%s listener=outgoing reason=local_shutdown", &kind); err == nil {
					kinds = append(kinds, kind)
				}
			}
			if got := strings.Join(kinds, " "); got != tc.want {
				t.Errorf("logged %v", l.lines)
			}
		})
	}
}

// DESIGN: bytes are application bytes, and those moved off the loop count; nothing is
// forgotten at the end.
func TestStatisticsAreExact(t *testing.T) {
	const pieces, size = 40, 10_000
	each(t, func(t *testing.T, network string) {
		rec := newRecorder(discarding())
		rec.do.established = func(c *conn.Stream) { c.AddRef(); c.Read() }
		f := start(t, network, rec)
		p := f.dial()
		j := rec.next(t, 0)
		reading := spawn("reading", func() error {
			_, err := p.readN(2 * pieces * size)
			return err
		})
		for i := range 2 * pieces {
			err := j.stream.Send(make([]byte, size)) // here
			if i%2 == 0 {                            // on the loop
				err = errors.Join(err, j.stream.Post(func(*conn.Stream) {}))
			}
			if err != nil {
				t.Fatal(err)
			}
			p.write(make([]byte, size))
		}
		reading.wait(t)
		p.closeWrite()
		rec.seen(t, j, cbClientClose, 1)
		j.stream.Release()
		p.readAll()
		p.Close()
		got := rec.released(t, j)
		f.stop()
		st := f.mainStats()
		if st.ReceivedBytes != 2*pieces*size || st.SentBytes != 2*pieces*size {
			t.Errorf("received %d and sent %d bytes of %d", st.ReceivedBytes, st.SentBytes, 2*pieces*size)
		}
		if st.Reads != uint64(got.count[cbRead]) || st.Writes == 0 || st.Accepted != 1 || st.Closed[conn.ReasonPeerClosed] != 1 {
			t.Errorf("counted %+v; %v", st, got.count)
		}
	})
}

// DESIGN: the cause is a *conn.Error: what was done, on which connection, and why it failed.
func TestErrorsTellWhatHappened(t *testing.T) {
	rec := newRecorder(hooks{established: func(c *conn.Stream) { c.Read() }})
	// Whatever is said, a reset can't be survived.
	rec.do.readMayLive = func(*conn.Stream, *buffers.Buffer, error) bool { return true }
	f := start(t, "tcp", rec)
	p := f.dial()
	j := rec.next(t, 0)
	p.reset()
	got := rec.released(t, j)
	var e *conn.Error
	if !errors.As(got.reset, &e) || e.Op == "" || e.ID != j.id || e.Addr != j.stream.RemoteAddr() || !errors.Is(e, syscall.ECONNRESET) {
		t.Errorf("OnConnectionReset brings %#v", got.reset)
	}
	if !errors.Is(got.lost, syscall.ECONNRESET) {
		t.Errorf("OnReadCompletionError brings %v", got.lost)
	}
	for _, part := range []string{fmt.Sprint(j.id), j.stream.RemoteAddr().String(), "reset"} {
		if !strings.Contains(got.reset.Error(), part) {
			t.Errorf("%q doesn't mention %s", got.reset, part)
		}
	}
}

// DESIGN: time-outs are os.ErrDeadlineExceeded by errors.Is; an aborted connection has the
// cause that it was aborted for.
func TestCauses(t *testing.T) {
	each(t, func(t *testing.T, network string) {
		reason := errors.New("a reason of ours")
		rec := newRecorder(hooks{established: func(c *conn.Stream) {
			c.SetTimeouts(conn.Timeouts{Linger: 1, Write: 1})
			c.AddRef()
		}})
		f := start(t, network, rec, tight)
		ends := []struct {
			end  func(c *conn.Stream) error
			want conn.Reason
			is   error
		}{
			{func(c *conn.Stream) error { c.Abort(reason); return nil }, conn.ReasonLocalAbort, reason},
			{func(c *conn.Stream) error { return c.Shutdown() }, conn.ReasonLinger, os.ErrDeadlineExceeded},
			{func(c *conn.Stream) error { return c.Send(make([]byte, 600<<10)) }, conn.ReasonWriteTimeout, os.ErrDeadlineExceeded},
		}
		for i, e := range ends {
			f.dial(smallReceive)
			j := rec.next(t, i)
			if r, err := j.stream.Cause(); r != conn.ReasonNone || err != nil {
				t.Errorf("the cause of nothing is %v, %v", r, err)
			}
			if err := e.end(j.stream); err != nil {
				t.Error(err)
			}
			got := rec.ended(t, j)
			r, err := j.stream.Cause()
			if got.reason != e.want || r != e.want || !errors.Is(err, e.is) {
				t.Errorf("ended with %v; the cause is %v, %v", got.reason, r, err)
			}
			j.stream.Release()
		}
	})
}
