package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sluice-net/sluice/server"
)

// The pause between two attempts to connect doubles from the first to the second.
const (
	minPause = 50 * time.Millisecond
	maxPause = 5 * time.Second
)

// pool keeps links to the backend up.
type pool struct {
	// Fixed before start.
	log     *slog.Logger
	srv     *server.Server
	target  server.Target
	size    int
	timeout time.Duration // of a response

	ctx     context.Context // ends keeping
	stop    context.CancelFunc
	keepers sync.WaitGroup

	mu   sync.Mutex
	open []*link // guarded by mu
	turn int     // guarded by mu
}

func (p *pool) start() {
	for range p.size {
		p.keepers.Go(p.keep)
	}
}

// end returns when nobody connects any more. The links themselves are the server's to end.
func (p *pool) end() {
	p.stop()
	p.keepers.Wait()
}

// keep is the goroutine of one place in the pool. It connects, waits for the link's end, and
// connects again; after a failure it pauses, more and more, and not in step with others.
func (p *pool) keep() {
	pause := minPause
	for p.ctx.Err() == nil {
		l := newLink(p.timeout)
		c, err := p.srv.Connect(p.ctx, p.target, l)
		switch {
		case p.ctx.Err() != nil && err != nil:
			return
		case err != nil:
			p.log.Warn("no backend", "error", err)
		default:
			pause = minPause
			<-l.ended
			r, err := c.Cause()
			c.Release()
			p.log.Warn("a link has ended", "reason", r, "error", err)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-p.ctx.Done():
		}
		pause = min(2*pause, maxPause)
	}
}

func (p *pool) add(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, l)
}

func (p *pool) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = slices.DeleteFunc(p.open, func(o *link) bool { return o == l })
}

// next is the link whose turn it is; nil if none is up.
func (p *pool) next() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.open) == 0 {
		return nil
	}
	p.turn++
	return p.open[p.turn%len(p.open)]
}
