package buffers

// A segment is one entry of a Chain: a part of a block, with a reference on it.
type segment struct {
	next *segment

	// p is what hasn't been consumed yet. Its capacity reaches to the end of the
	// block. full is how many bytes there were at the start, so that the whole can be
	// had again.
	p    []byte
	full int

	blk   *block // nil: no bytes, or a copied segment without any
	alloc *Allocator
	user  any

	tag    bool
	copied bool // by AppendCopy: the chain's own bytes, not a user's Buffer
	alone  bool // nothing may be added to it

	// room says that the bytes behind p, up to the end of the block, may be written
	// by the chain that has this segment. Of all segments of a block at most one has
	// room: the one that was made last. Since it holds a reference, no view is the
	// only one of the block, so that no view can write there either.
	room bool
}

// whole is the segment's extent at the time when it was appended.
func (s *segment) whole() []byte {
	if len(s.p) == s.full {
		return s.p
	}
	mem := s.blk.mem
	end := len(mem) - cap(s.p) + len(s.p)
	return mem[end-s.full : end]
}

func newSegment(k *Cache, a *Allocator) *segment {
	if k != nil && k.segments != nil {
		s := k.segments
		k.segments = s.next
		k.nsegments--
		s.next = nil
		s.alloc = a
		return s
	}
	s, _ := a.segments.Get().(*segment)
	if s == nil {
		s = new(segment)
	}
	s.alloc = a
	return s
}

// freeSegment takes back a segment that has been unlinked and whose reference has
// been dropped or passed on.
func freeSegment(k *Cache, s *segment) {
	a := s.alloc
	*s = segment{}
	if k != nil && k.nsegments < maxSpare {
		s.next = k.segments
		k.segments = s
		k.nsegments++
		return
	}
	a.segments.Put(s)
}

// release drops what s holds and takes it back.
func (s *segment) release(k *Cache) {
	if s.blk != nil && s.blk.drop() {
		putAway(k, s.blk)
	}
	freeSegment(k, s)
}
