//go:build linux

package echo

import (
	"context"
	"time"
)

// Publish is for a fan-out server, to which the connections have subscribed with the message
// of Dial: the first connection sends one message, and when all have received it, the next.
// Progress counts what was received. Latency is the time until a connection has its copy.
func (c *Client) Publish(ctx context.Context, more func(Progress) bool) error {
	c.publishing, c.sending = true, true
	defer func() { c.publishing = false }()
	c.progress = Progress{Now: time.Now()}
	c.timedEvery = timedStep
	if err := c.publish(); err != nil {
		return err
	}
	return c.await(ctx, 0, 0, more)
}

// publish has all connections expect the next message of the first.
func (c *Client) publish() error {
	began := time.Since(c.born)
	for id := range c.conns {
		k := &c.conns[id]
		k.seq++
		k.sent, k.got, k.began = int32(c.size), 0, began
	}
	c.waiting = len(c.conns)
	advance(c.message(0))
	c.conns[0].sent = 0
	return c.flush(0)
}
