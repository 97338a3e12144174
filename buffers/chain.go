package buffers

import "strconv"

// A Chain is a queue of bytes in segments: what waits to be sent. The zero value
// is an empty chain, which holds nothing. A Chain isn't safe for concurrent use.
//
// A segment is either the snapshot of a Buffer, with a reference on its memory
// (Append), or a copy of bytes that belongs to the chain (AppendCopy). Segments
// are consumed from the front; one that is consumed in part still knows its whole
// extent, until it is used up. A segment can have no bytes at all: it is used up
// when everything before it is.
//
// The Cache that most methods take is where memory comes from and goes to; nil
// stands for the shared pools.
type Chain struct {
	_ noCopy

	head, tail *segment
	segments   int
	bytes      int
	tagged     int
}

// What AppendCopy allocates at least: a quarter of what is queued, within bounds,
// so that many small pieces neither cost a block each nor hold a large one long.
const (
	minCopy = minSize
	maxCopy = 64 << 10
)

// Len returns the number of bytes.
func (c *Chain) Len() int { return c.bytes }

// Segments returns the number of segments, those without bytes included.
func (c *Chain) Segments() int { return c.segments }

// Tagged returns the number of bytes in tagged segments.
func (c *Chain) Tagged() int { return c.tagged }

// Append adds b as it is now, with its user data and a reference of its own on the
// memory. The caller's reference remains the caller's.
func (c *Chain) Append(k *Cache, b *Buffer, tag bool) {
	p, blk, user := b.p, b.blk, b.user
	if b.dead() {
		b.misuse("Append to a Chain")
		p, blk, user = noBytes, nil, nil
	}
	if blk != nil {
		blk.acquire(b.sole())
	}
	s := newSegment(k, b.alloc)
	s.p = p
	s.full = len(p)
	s.blk = blk
	s.user = user
	s.tag = tag
	c.push(s)
	c.count(s, len(p))
}

// AppendCopy adds a copy of p, in the room behind the last segment if that is a
// copy too, else in new memory of k or, without k, of a. With alone the copy
// becomes one segment of its own, though perhaps in the same block as others, even
// if p is empty; otherwise it may extend the last segment, if that has the same
// tag, or take several.
func (c *Chain) AppendCopy(k *Cache, a *Allocator, p []byte, tag, alone bool) {
	if k != nil {
		a = k.a
	}
	if len(p) == 0 {
		if alone {
			s := newSegment(k, a)
			s.p, s.tag, s.copied, s.alone = noBytes, tag, true, true
			c.push(s)
		}
		return
	}
	for len(p) > 0 {
		s := c.copyTarget(k, a, len(p), tag, alone)
		n := min(len(p), cap(s.p)-len(s.p))
		s.p = append(s.p, p[:n]...)
		s.full += n
		c.count(s, n)
		p = p[n:]
	}
}

// copyTarget returns the last segment, ready to take bytes: the one that is there
// if it may be extended, else a new one, in the same block if all n bytes fit.
func (c *Chain) copyTarget(k *Cache, a *Allocator, n int, tag, alone bool) *segment {
	room := 0
	if t := c.tail; t != nil && t.room {
		room = cap(t.p) - len(t.p)
		if room > 0 && !alone && !t.alone && t.tag == tag {
			return t
		}
	}
	s := newSegment(k, a)
	s.tag, s.copied, s.alone, s.room = tag, true, alone, true
	if t := c.tail; room >= n {
		t.room = false
		t.blk.acquire(true)
		s.blk = t.blk
		s.p = t.p[len(t.p):]
	} else {
		size := max(min(n, maxCopy), min(c.bytes/4, maxCopy), minCopy)
		if alone {
			size = max(size, n)
		}
		s.blk = takeBlock(k, a, size)
		s.p = s.blk.mem[:0]
	}
	c.push(s)
	return s
}

// takeBlock takes a block without a view for a chain.
func takeBlock(k *Cache, a *Allocator, size int) *block {
	if k == nil {
		blk := a.take(size)
		a.follow(blk)
		return blk
	}
	blk := k.take(size)
	if a.leaks != LeaksOff {
		k.follow(blk)
	}
	return blk
}

// Vectors puts the bytes at the front, segment by segment, into dst[:0], without
// allocating: at most cap(dst) slices and at most limit bytes, of which the last
// slice may be cut. Segments without bytes are left out. The slices are valid until
// the next call that removes from c.
func (c *Chain) Vectors(dst [][]byte, limit int) [][]byte {
	dst = dst[:0]
	for s := c.head; s != nil && len(dst) < cap(dst) && limit > 0; s = s.next {
		n := min(len(s.p), limit)
		if n == 0 {
			continue
		}
		dst = append(dst, s.p[:n:n])
		limit -= n
	}
	return dst
}

// Front returns what is left of the first segment; nil if there is none.
func (c *Chain) Front() []byte {
	s := c.head
	if s == nil {
		return nil
	}
	return s.p[:len(s.p):len(s.p)]
}

// Consume drops n bytes from the front, and each segment that is used up by that,
// those without bytes included.
func (c *Chain) Consume(k *Cache, n int) { c.consume(k, n, nil) }

// MoveFront is Consume, but segments that are used up go to the end of done, in
// their whole extent.
func (c *Chain) MoveFront(k *Cache, n int, done *Chain) { c.consume(k, n, done) }

func (c *Chain) consume(k *Cache, n int, done *Chain) {
	if n < 0 || n > c.bytes {
		panic("buffers: Consume of " + strconv.Itoa(n) + " bytes from a Chain of " + strconv.Itoa(c.bytes))
	}
	for s := c.head; s != nil; s = c.head {
		if n < len(s.p) {
			s.p = s.p[n:]
			c.count(s, -n)
			return
		}
		n -= len(s.p)
		c.pop()
		if done == nil {
			s.release(k)
			continue
		}
		s.p = s.whole()
		done.push(s)
		done.count(s, len(s.p))
	}
}

// PopFront removes the first segment and returns it as a Buffer, which the caller
// must release: the Buffer that was appended, as it was then, whatever has been
// consumed since; in place of a copied one an empty Buffer. It returns nil if c has
// no segment.
func (c *Chain) PopFront(k *Cache) *Buffer {
	s := c.pop()
	if s == nil {
		return nil
	}
	if s.copied {
		v := newView(k, s.alloc, nil, noBytes)
		s.release(k)
		return v
	}
	v := newView(k, s.alloc, s.blk, s.whole())
	v.user = s.user
	freeSegment(k, s)
	return v
}

// PopData removes the first segment and returns what is left of it as a Buffer,
// which the caller must release, whether it was copied or not. It returns nil if c
// has no segment.
func (c *Chain) PopData(k *Cache) *Buffer {
	s := c.pop()
	if s == nil {
		return nil
	}
	v := newView(k, s.alloc, s.blk, s.p)
	v.user = s.user
	freeSegment(k, s)
	return v
}

// Share adds the same segments to dst, which holds the memory by itself, and may outlive c.
func (c *Chain) Share(k *Cache, dst *Chain) {
	for s := c.head; s != nil; s = s.next {
		t := newSegment(k, s.alloc)
		t.p, t.full, t.blk, t.user, t.copied, t.alone = s.p, s.full, s.blk, s.user, s.copied, true
		if t.blk != nil {
			t.blk.acquire(true)
		}
		dst.push(t)
		dst.count(t, len(t.p))
	}
}

// MoveAll moves everything to the end of dst.
func (c *Chain) MoveAll(dst *Chain) {
	if c.head == nil || c == dst {
		return
	}
	if dst.tail == nil {
		dst.head = c.head
	} else {
		dst.tail.next = c.head
	}
	dst.tail = c.tail
	dst.segments += c.segments
	dst.bytes += c.bytes
	dst.tagged += c.tagged
	c.head, c.tail, c.segments, c.bytes, c.tagged = nil, nil, 0, 0, 0
}

// Release drops everything.
func (c *Chain) Release(k *Cache) { c.consume(k, c.bytes, nil) }

// push links s behind the last segment. Its bytes aren't counted yet.
func (c *Chain) push(s *segment) {
	s.next = nil
	if c.tail == nil {
		c.head = s
	} else {
		c.tail.next = s
	}
	c.tail = s
	c.segments++
}

// pop unlinks the first segment and takes its bytes out of the account.
func (c *Chain) pop() *segment {
	s := c.head
	if s == nil {
		return nil
	}
	c.head = s.next
	if c.head == nil {
		c.tail = nil
	}
	s.next = nil
	c.segments--
	c.count(s, -len(s.p))
	return s
}

// count adds n bytes of s to the account.
func (c *Chain) count(s *segment, n int) {
	c.bytes += n
	if s.tag {
		c.tagged += n
	}
}
