package main

import (
	"errors"
	"sync"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/framing"
)

var errLate = errors.New("the backend took too long for a response")

// link is a connection to the backend. Its responses come in the order of the requests, so a
// queue tells whose the next one is.
type link struct {
	timeout time.Duration
	ended   chan struct{} // closed by end

	mu      sync.Mutex
	writer  *framing.Writer
	stream  *conn.Stream   // set by open
	late    *conn.Timer    // runs while anybody waits
	waiting []*conn.Stream // clients, each with a reference
}

func newLink(timeout time.Duration) *link {
	return &link{timeout: timeout, ended: make(chan struct{})}
}

// open comes before everything else.
func (l *link) open(c *conn.Stream, w *framing.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream, l.writer = c, w
	l.late = c.AfterFunc(l.timeout, func(c *conn.Stream) { c.Abort(errLate) })
	l.late.Stop()
}

// ask sends a request and notes who waits for the response: under one lock, because clients
// on several loops have to be noted in the order in which their requests are sent.
func (l *link) ask(client *conn.Stream, request *buffers.Buffer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writer.Write(l.stream, request); err != nil {
		return err
	}
	if len(l.waiting) == 0 {
		l.late.Reset(l.timeout)
	}
	l.waiting = append(l.waiting, client)
	return nil
}

// shift takes the client off whose response has come; nil if nobody waits.
func (l *link) shift() *conn.Stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return nil
	}
	client := l.waiting[0]
	l.waiting = l.waiting[1:]
	if len(l.waiting) == 0 {
		l.late.Stop()
	} else {
		l.late.Reset(l.timeout)
	}
	return client
}

// end returns those who won't get a response. The connection is closed, so ask fails from
// now on.
func (l *link) end() []*conn.Stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.ended)
	waiting := l.waiting
	l.waiting = nil
	return waiting
}
