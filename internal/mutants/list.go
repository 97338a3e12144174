package main

// mutants are bugs that somebody may well make one day.
var mutants = []mutant{
	{
		"forget to look again after EAGAIN at an out-of-band mark", "internal/engine/read.go",
		`if c.categoryLocked() != CategoryTCP || !c.flags.has(hadPri) || !c.shard.kernel.Readable(int(c.fd)) {`,
		`if true {`,
	},
	{
		"take a short read for the last on a Unix-domain socket", "internal/engine/read.go",
		`return shortReadDrains && c.categoryLocked() == CategoryTCP && !c.flags.hasAny(hadPri|hadHup)`,
		`return shortReadDrains && !c.flags.hasAny(hadPri|hadHup)`,
	},
	{
		"take a short read for the last after a hang-up", "internal/engine/read.go",
		`return shortReadDrains && c.categoryLocked() == CategoryTCP && !c.flags.hasAny(hadPri|hadHup)`,
		`return shortReadDrains && c.categoryLocked() == CategoryTCP`,
	},
	{
		"drop the last piece of a short sendmsg", "internal/engine/write.go",
		`		n, errno = s.kernel.Sendv(int(c.fd), v)
		clear(v)`,
		`		n, errno = s.kernel.Sendv(int(c.fd), v)
		if last := len(v[len(v)-1]); n > 0 && n+last < q.Len() {
			n += last
		}
		clear(v)`,
	},
	{
		"queue a byte that a direct send has sent", "internal/engine/write.go",
		`c.out.AppendCopy(k, c.shard.env.Allocator, p[sent:], c.tagLocked(k), track)`,
		`c.out.AppendCopy(k, c.shard.env.Allocator, p[max(sent-1, 0):], c.tagLocked(k), track)`,
	},
	{
		"forget to release what a ReadFull has so far", "internal/engine/read.go",
		`	if c.partial != nil {
		c.partial.Release()
		c.partial = nil
	}`,
		`	c.partial = nil`,
	},
	{
		"close before clearing the slot", "internal/engine/close.go",
		`	if fd >= 0 {
		s.r.Deregister(fd)
	}`,
		`	if fd >= 0 {
		defer s.r.Deregister(fd)
	}`,
	},
	{
		"deliver a completion inside the call", "internal/engine/write.go",
		`	if c.ext != nil && c.ext.gate != nil && c.out.Len() > c.flow.High {
		c.ext.gate.high.Store(true)
	}
	c.finish()
}`,
		`	if c.ext != nil && c.ext.done.Segments() > 0 {
		c.tellWrittenLocked()
	}
	c.finish()
}`,
	},
	{
		"unlock without looking at what came meanwhile", "internal/engine/dispatch.go",
		`	if c.pending.Load() == 0 || !c.mu.TryLock() {`,
		`	if true || !c.mu.TryLock() {`,
	},
	{
		"leave events to a holder who may have gone", "internal/engine/dispatch.go",
		`	c.pending.Or(uint32(ev))
	if c.mu.TryLock() {
		c.dispatchLocked()
	}`,
		`	c.pending.Or(uint32(ev))`,
	},
	{
		"leave the loop asleep after its first post", "internal/reactor/post.go",
		`	r.posts = taskList{}
	r.waking = false
	r.mu.Unlock()`,
		`	r.posts = taskList{}
	r.mu.Unlock()`,
	},
	{
		"drop what was posted before the loop's end", "internal/reactor/post.go",
		`	r.posts = taskList{}
	r.mu.Unlock()
	r.runTasks(snapshot)
	r.Handlers(`,
		`	r.posts = taskList{}
	r.mu.Unlock()
	_ = snapshot
	r.Handlers(`,
	},
	{
		"forget those who wait for this output", "internal/engine/flow.go",
		`	for _, w := range watchers {
		w.mu.Lock()
		w.finish()
	}
	c.mu.Lock()
}`,
		`	for range watchers {
	}
	c.mu.Lock()
}`,
	},
	{
		"forget that a write was refused", "internal/engine/write.go",
		`			c.flags.set(refused)`,
		`			_ = refused`,
	},
	{
		"tell of the peer's end twice", "internal/engine/read.go",
		`	c.flags.set(eofTold)
	c.dropReadsLocked()`,
		`	if c.read.kind == readNone {
		c.flags.set(eofTold)
	}
	c.dropReadsLocked()`,
	},
	{
		"end a connection before its output is sent", "internal/engine/next.go",
		`	if c.hasOutputLocked() {
		return nothing
	}
	if c.flags.has(eof|finSent)`,
		`	if c.flags.has(eof|finSent)`,
	},
	{
		"reset where a clean end was due", "internal/engine/close.go",
		`reset := !c.reason.clean() && c.reason != ReasonLinger && !c.hasLastWordsLocked()`,
		`reset := c.reason != ReasonLinger && !c.hasLastWordsLocked()`,
	},
	{
		"send our end before what was written", "internal/engine/next.go",
		`if f.has(finWanted) && !f.has(finSent) && !c.hasOutputLocked() && !c.handshakingLocked() {`,
		`if f.has(finWanted) && !f.has(finSent) && !c.handshakingLocked() {`,
	},
	{
		"take a connection with an extension for a plain one", "internal/engine/next.go",
		`c.state == Open && c.ext == nil && c.flags`,
		`c.state == Open && c.flags`,
	},
	{
		"drop posts when the connection fails", "internal/engine/next.go",
		`	if c.hasPostsLocked() {
		return nothing // they came in this dispatch, and run in the next
	}
	if c.hasLastWordsLocked() {`,
		`	if c.hasLastWordsLocked() {`,
	},
	{
		"forget the last reference's kick", "internal/engine/open.go",
		`	c.finish()
	return true
}`,
		`	c.unlock()
	return true
}`,
	},
	{
		"forget to try again after EMFILE", "internal/engine/accept.go",
		`	a.r.Arm(&a.timer, a.backoff)`,
		`	if errno != unix.EMFILE {
		a.r.Arm(&a.timer, a.backoff)
	}`,
	},
	{
		"forget who waits for a place", "server/places.go",
		`	resume = scope{server: p.all.waiting, listener: own.waiting}`,
		`	resume = scope{server: p.all.waiting && p.all.taken > 0, listener: own.waiting}`,
	},
	{
		"forget who waits for a listener's place", "server/places.go",
		`	resume = scope{server: p.all.waiting, listener: own.waiting}`,
		`	resume = scope{server: p.all.waiting}`,
	},
	{
		"let one too many in", "server/places.go",
		`a.limit > 0 && a.taken >= a.limit }`,
		`a.limit > 0 && a.taken > a.limit }`,
	},
	{
		"count an address that was refused for the rate", "server/rejection.go",
		`		e.addresses.leave(peer)
		e.reject(peer, RejectedRate)`,
		`		e.reject(peer, RejectedRate)`,
	},
	{
		"forget that an address has left", "server/endpoint.go",
		`	e.addresses.leave(peer)
	e.leavePlace()`,
		`	e.leavePlace()`,
	},
	{
		"give tokens for time that hasn't passed", "server/acceptrate.go",
		`rate.NewLimiter(rate.Limit(l.AcceptRate), l.burst())`,
		`rate.NewLimiter(rate.Limit(2*l.AcceptRate), l.burst())`,
	},
	{
		"keep the write deadline of output that's gone", "internal/engine/deadline.go",
		`	case !c.canFlushLocked():
		c.flags.clear(writeTimed | lastTry)`,
		`	case false:
		c.flags.clear(writeTimed | lastTry)`,
	},
	{
		"let a panic end the callbacks that are due", "internal/engine/close.go",
		`		c.closing = closeClosed
		if told && c.reason.fromPeer() {`,
		`		c.closing = closeClosed
		if told && c.reason.fromPeer() && c.flags.has(eofTold) {`,
	},
	{
		"answer a refused read twice", "internal/engine/close.go",
		`	x.failing = nil
	s.handOut(b)`,
		`	if dir == Sending {
		x.failing = nil
	} else if x.failing = nil; c.read.kind != readNone {
		c.read.need++
		x.reads = append(x.reads, c.read)
	}
	s.handOut(b)`,
	},
	{
		"give the caller's buffer back instead of one's own", "internal/engine/shard.go",
		`		s.lent = nil
		s.cache.Release(b)`,
		`		s.lent = nil
		if b.Len() != 7 {
			s.cache.Release(b)
		}`,
	},
	{
		"release a connection that the user wasn't told of", "internal/engine/open.go",
		`	c.leave()
	c.shard.env.Consumer.Created(c, fd)
	c.enter()
	if c.shard.env.Refuse.Load() {`,
		`	if !c.shard.env.Refuse.Load() {
		c.leave()
		c.shard.env.Consumer.Created(c, fd)
		c.enter()
	} else {`,
	},
	{
		"let a panic out that comes after the loop's end", "internal/engine/dispatch.go",
		`			c.releaseHere()`,
		`			c.shard.env.Consumer.Released(c)`,
	},
	{
		"place a connection on a loop that has ended", "internal/engine/accept.go",
		`		c = newAccepted(a.env.shards[a.r.Index()], fd, peer, owner)
`,
		``,
	},
	{
		"take any event for a connect's success", "internal/engine/connect.go",
		`	if _, errno = k.RemoteAddr(int(c.fd)); errno == 0 {`,
		`	if errno == 0 {`,
	},
	{
		"lose what came together with a connect's success", "internal/engine/dispatch.go",
		`		c.flags.set(connectDue) // and`,
		`		c.flags.set(connectDue)
		return // and`,
	},
	{
		"leave the descriptor of an address that failed", "internal/engine/connect.go",
		`		c.shard.r.Deregister(fd)
		c.closeDescriptorLocked(fd, true)`,
		`		c.shard.r.Deregister(fd)`,
	},
	{
		"wait for a full queue for ever", "internal/engine/connect.go",
		`		d.retryAt = c.shard.r.Now() + retryAfter
		c.ext.deadline.armDue = true`,
		`		d.retryAt = c.shard.r.Now() + retryAfter`,
	},
	{
		"forget how long a connect may take", "internal/engine/connect.go",
		`	if d.since = c.shard.r.Now(); d.Timeout > 0 {`,
		`	if d.since = c.shard.r.Now(); d.Timeout > time.Hour {`,
	},
	{
		"leave a connection's timers behind", "internal/engine/close.go",
		`		c.endTimersLocked()
`,
		``,
	},
	{
		"lose what a canceled Recv had got", "internal/engine/recv.go",
		`slices.Concat(c.read.memory()[:x.have], x.carry)`,
		`slices.Concat(c.read.memory()[:0], x.carry)`,
	},
	{
		"don't flush what was cached for a connect that Shutdown came before", "conn/socket.go",
		`		if !s.connected && c.Pending() > 0 {`,
		`		if false {`,
	},
	{
		"reset at the peer's end", "conn/view.go",
		`func (view) ClientClose(c *engine.Conn) { _ = c.ShutdownFor(ReasonPeerClosed) }`,
		`func (view) ClientClose(c *engine.Conn) { c.Abort(nil) }`,
	},
	{
		"forget those Recvs that a local end cancels", "internal/engine/read.go",
		`	if c.shard.env.Memory != nil {
		c.cancelReadsLocked()
		c.ext.carry = nil
		return
	}
`,
		``,
	},
	{
		"answer a partial Recv with nothing", "internal/engine/recv.go",
		`	if x.have < len(p) && (c.read.kind == readMemory || x.have == 0) {`,
		`	if x.have < len(p) && c.read.kind == readMemory {`,
	},
	{
		"forget to time a read again after the one before", "internal/engine/read.go",
		`	c.read = readOp{}
	c.flags.clear(readTimed)
	x := c.ext
`,
		`	c.read = readOp{}
	x := c.ext
`,
	},
	{
		"keep the beginning of a message whose rest never comes", "framing/reader.go",
		`	r.cause = cause
	r.drop()
`,
		`	r.cause = cause
`,
	},
	{
		"begin the rest of a message a byte too late", "framing/reader.go",
		`		r.tail.Append(p[r.tail.Len()-before:])
		return len(p), nil
`,
		`		r.tail.Append(p[min(r.tail.Len()-before+1, len(p)):])
		return len(p), nil
`,
	},
	{
		"drop what users keep before they're told of the release", "internal/engine/close.go",
		`	c.becomeLocked(Released)
	c.leave()
`,
		`	c.becomeLocked(Released)
	c.slots.Store(nil)
	c.leave()
`,
	},
	{
		"give crypto/tls more than a record", "secure/transport.go",
		`		if t.body == 0 {
			t.have = 0
			return n
		}`,
		`		if t.body == 0 {
			t.have = 0
		}`,
	},
	{
		"forget what the handshake has left of the input", "secure/session.go",
		`	s.t.rest = append([]byte(nil), s.t.hs.in...)
`,
		``,
	},
	{
		"forget to wake the loop when the handshake is over", "secure/handshake.go",
		`		h.mu.Unlock()
		h.host.Wake()
	}()`,
		`		h.mu.Unlock()
	}()`,
	},
	{
		"take a cut stream for a clean end", "secure/session.go",
		`			return io.ErrUnexpectedEOF
`,
		`			return io.EOF
`,
	},
	{
		"seal a byte twice", "secure/session.go",
		`		src.Consume(s.t.host.Cache(), len(p))
	}
	return nil
}

func (s *session) sealGathered`,
		`		src.Consume(s.t.host.Cache(), max(len(p)-1, 1))
	}
	return nil
}

func (s *session) sealGathered`,
	},
	{
		"send in the clear what was written for an upgrade", "internal/engine/write.go",
		`		limit = min(limit, c.ext.upgrade.ahead)
`,
		`		_ = limit
`,
	},
	{
		"reset before a session's last words are out", "internal/engine/close.go",
		`!c.reason.clean() && c.reason != ReasonLinger && !c.hasLastWordsLocked()`,
		`!c.reason.clean() && c.reason != ReasonLinger`,
	},
}
