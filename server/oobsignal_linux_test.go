package server_test

import (
	"context"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
	"golang.org/x/sys/unix"
)

// tracedEcho is an echo that notes which thread its loop is on.
type tracedEcho struct {
	server.BaseCallback
	thread *atomic.Int64
}

func (e tracedEcho) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { c.Read() }
func (e tracedEcho) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	e.thread.Store(int64(unix.Gettid()))
	c.Write(b)
	c.Read()
}

// TestOutOfBandMarkUnderSignals: at an out-of-band mark recv answers EAGAIN if a signal
// is pending, whatever there is to read behind the mark (tcp_recvmsg), and Go's
// scheduler sends SIGURG to threads that it wants back. Taken at its word, that EAGAIN
// leaves the connection waiting for an edge that has been.
func TestOutOfBandMarkUnderSignals(t *testing.T) {
	mux, err := conn.NewMux(conn.MuxConfig{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer mux.Terminate()
	var thread atomic.Int64
	srv, err := server.New(server.Config{
		Callback:  tracedEcho{thread: &thread},
		Listeners: []server.Listener{{Name: "echo", Network: "tcp", Address: "127.0.0.1:0"}},
		Mux:       mux,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", srv.Addrs()["echo"][0].String())
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if id := thread.Load(); id != 0 {
					_ = unix.Tgkill(os.Getpid(), int(id), unix.SIGURG)
				}
			}
		}
	}()
	defer func() {
		close(stop)
		<-stopped
		c.Close()
		_ = srv.Shutdown(context.Background())
	}()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 8)
	for end, round := time.Now().Add(5*time.Second), 0; time.Now().Before(end); round++ {
		var sendErr error
		err := raw.Write(func(fd uintptr) bool {
			_, sendErr = unix.SendmsgN(int(fd), []byte("!"), nil, nil, unix.MSG_OOB)
			return sendErr != unix.EAGAIN
		})
		if err != nil || sendErr != nil {
			t.Fatal(err, sendErr)
		}
		if _, err := io.WriteString(c, "aaaabbbb"); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := io.ReadFull(c, answer); err != nil || string(answer) != "aaaabbbb" {
			t.Fatalf("round %d: %q, %v", round, answer[:n], err)
		}
	}
}
