package reactor

// table maps descriptor numbers to handlers: two levels, so that a large number
// doesn't cost a large table. Each loop has its own, because an event that is stale
// must not find another loop's handler.
type table struct {
	chunks []*chunk
}

const chunkBits = 8

type chunk [1 << chunkBits]Handler

func (t *table) get(fd int) Handler {
	if i := fd >> chunkBits; i < len(t.chunks) {
		if c := t.chunks[i]; c != nil {
			return c[fd&(1<<chunkBits-1)]
		}
	}
	return nil
}

func (t *table) set(fd int, h Handler) {
	i := fd >> chunkBits
	for i >= len(t.chunks) {
		t.chunks = append(t.chunks, nil)
	}
	c := t.chunks[i]
	if c == nil {
		if h == nil {
			return
		}
		c = new(chunk)
		t.chunks[i] = c
	}
	c[fd&(1<<chunkBits-1)] = h
}

func (t *table) each(f func(Handler) bool) {
	for i := 0; i < len(t.chunks); i++ {
		c := t.chunks[i]
		if c == nil {
			continue
		}
		for j := range c {
			if h := c[j]; h != nil && !f(h) {
				return
			}
		}
	}
}
