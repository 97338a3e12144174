package reactor_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/reactor"
)

// BenchmarkDispatch is what the reactor itself costs per event.
func BenchmarkDispatch(b *testing.B) {
	b.ReportAllocs()
	drive(b, reactor.Config{}, func(l *loop) {
		n := 0
		must(b, l.r.Register(7, &handler{event: func(reactor.Events) { n++ }}))
		for b.Loop() {
			l.dispatch(7, reactor.In)
		}
	})
}

// BenchmarkDispatchTask is what a task costs that's run once per turn of a loop.
func BenchmarkDispatchTask(b *testing.B) {
	b.ReportAllocs()
	drive(b, reactor.Config{}, func(l *loop) {
		h := &handler{task: func() {}}
		for b.Loop() {
			must(b, l.r.Post(h))
			l.turn()
		}
	})
}

// BenchmarkPingPong is a byte that goes round between two sockets of one loop: a
// receive, a send, and an event of epoll for each.
func BenchmarkPingPong(b *testing.B) {
	b.ReportAllocs()
	g := start(b, reactor.Config{Loops: 1})
	r := g.Reactors()[0]
	fds := [2]int{}
	fds[0], fds[1] = pair(b)
	done := make(chan struct{}, 1)
	left := 0
	onLoop(b, r, func() {
		for i, fd := range fds {
			buf := make([]byte, 16)
			must(b, r.Register(fd, &handler{event: func(ev reactor.Events) {
				if ev&reactor.In == 0 {
					return
				}
				n, errno := r.Kernel().Recv(fd, buf)
				if errno != 0 {
					return
				}
				if left--; left <= 0 {
					done <- struct{}{}
					return
				}
				r.Kernel().Send(fds[i], buf[:n])
			}, stop: func() { r.Deregister(fd) }}))
		}
	})
	b.ResetTimer()
	onLoop(b, r, func() { left = b.N })
	_, err := unix.Write(fds[0], []byte("x"))
	must(b, err)
	receive(b, done, "the last byte")
}

// BenchmarkPost is a round trip of a task to a loop that sleeps.
func BenchmarkPost(b *testing.B) {
	b.ReportAllocs()
	g := start(b, reactor.Config{Loops: 1})
	done := make(chan struct{}, 1)
	h := &handler{task: func() { done <- struct{}{} }}
	for b.Loop() {
		must(b, g.Reactors()[0].Post(h))
		<-done
	}
}

// BenchmarkPostMany is what a post costs a goroutine whose loop is busy.
func BenchmarkPostMany(b *testing.B) {
	b.ReportAllocs()
	g := start(b, reactor.Config{Loops: 1})
	const batch = 64
	done := make(chan struct{}, batch)
	var tasks [batch]handler
	for i := range tasks {
		tasks[i].task = func() { done <- struct{}{} }
	}
	for i := 0; b.Loop(); i++ {
		if i >= batch {
			<-done
		}
		must(b, g.Reactors()[0].Post(&tasks[i%batch]))
	}
}

// BenchmarkArmDisarm is a deadline that's set and not needed, among many others.
func BenchmarkArmDisarm(b *testing.B) {
	b.ReportAllocs()
	drive(b, reactor.Config{}, func(l *loop) {
		others := make([]reactor.Timer, 10_000)
		for i := range others {
			others[i].Target = &handler{}
			l.r.Arm(&others[i], time.Duration(i+1)*time.Millisecond+time.Second)
		}
		tm := &reactor.Timer{Target: &handler{}}
		for b.Loop() {
			l.r.Arm(tm, 30*time.Second)
			l.r.Disarm(tm)
		}
		for i := range others {
			l.r.Disarm(&others[i])
		}
	})
}
