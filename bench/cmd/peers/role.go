//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A link is a server's end of a connection, as all frameworks have it.
type link interface {
	// write takes all of p, or returns an error; within a callback.
	write(p []byte) error
	// writev is the same for several pieces.
	writev(pieces [][]byte) error
	// close ends the connection once what was written is sent, as far as the framework knows
	// how to; within a callback.
	close()
	// after calls f some time later: where handlers may block they do.
	after(d time.Duration, f func())
}

// A later writes from outside of callbacks: what after has called.
type later interface{ writeLater(p []byte) error }

// A role is what a server does in a row. Callbacks come one at a time for each connection.
type role struct {
	opened func(l link)
	data   func(l link, p []byte) // p is the framework's again afterwards
	oob    func(l link, b byte)
	closed func(l link)

	once     bool          // after the first data nothing more is wanted: pause, by the framework's means
	idle     time.Duration // end connections that are silent for so long
	output   int           // what a connection may have to keep; 0: the framework's default
	maxFiles uint64        // descriptors that the process may have; 0: no matter
}

// framework is a server on one loop.
type framework interface {
	// serve returns when the framework says that it has ended.
	serve(network, addr string) error
	// dial connects, says greeting, and ends that connection; called outside of callbacks.
	dial(addr string) error
	// stop ends it as gracefully as it can, within a time.
	stop(within time.Duration) error
}

var frameworks = []struct {
	name string
	make func(*role) framework
}{
	{"sluice", newSluice},
	{"gnet", newGnet},
	{"nbio", newNbio},
	{"netpoll", newNetpoll},
	{"std", newStd},
}

func serverNames() (names []string) {
	for _, f := range frameworks {
		names = append(names, f.name)
	}
	return names
}

// say tells the process that asks.
func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// serve is the process that serves; its exit code is 0 even when the framework returns an
// error, which is told.
func serve(args []string) int {
	if len(args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: peers serve SERVER ROLE NETWORK ADDRESS")
		return 2
	}
	for _, f := range frameworks {
		if f.name != args[0] {
			continue
		}
		var s framework
		var stopping sync.WaitGroup
		r, ok := roles(
			func(addr string) error { return s.dial(addr) },
			func() error {
				stopping.Add(1)
				defer stopping.Done()
				return s.stop(stopLimit)
			},
		)[args[1]]
		if !ok {
			fmt.Fprintln(os.Stderr, "no such role:", args[1])
			return 2
		}
		if r.maxFiles > 0 {
			limit := unix.Rlimit{Cur: r.maxFiles, Max: r.maxFiles}
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		s = f.make(r)
		err := s.serve(args[2], args[3])
		stopping.Wait()
		say("returned: %v", err)
		return 0
	}
	fmt.Fprintln(os.Stderr, "no such server:", args[0])
	return 2
}

const (
	large     = 8 << 20
	medium    = 2 << 20
	pieces    = 128 // of large
	most      = 64 << 20
	chunk     = 64 << 10
	delay     = 100 * time.Millisecond
	idleTime  = time.Second
	stopLimit = 8 * time.Second
	fewFiles  = 48
	stale     = "STALE"
	greeting  = "hello"
	panicked  = "panic: "

	fillCommand = "fill"
	freeCommand = "free"
)

// content is what's sent where bytes are counted: each can be told from its neighbours.
func content(n int) []byte {
	p := make([]byte, n)
	x := uint32(1)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

func echo(l link, p []byte) { _ = l.write(p) }

// attempt turns a panic into an error.
func attempt(f func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%s%v", panicked, cause)
		}
	}()
	return f()
}

// roles are by name. dial and stop are the framework's.
func roles(dial func(addr string) error, stop func() error) map[string]*role {
	var (
		mu       sync.Mutex       // some frameworks have a goroutine for each connection
		received = map[link]int{} // guarded by mu
		first    link             // guarded by mu
		files    []*os.File       // guarded by mu
	)
	return map[string]*role{
		"echo": {data: echo},
		"delayed": {data: func(l link, _ []byte) {
			l.after(delay, func() { _ = l.(later).writeLater([]byte("reply")) })
		}},
		"oob":  {data: echo, oob: func(l link, b byte) { _ = l.write([]byte{'<', b, '>'}) }},
		"once": {once: true, data: func(link, []byte) {}},
		"flood": {data: func(l link, _ []byte) {
			p, n := content(chunk), 0
			for n < most {
				if err := l.write(p); err != nil {
					say("refused: after %d: %v", n, err)
					return
				}
				n += len(p)
			}
			say("accepted: %d", n)
		}},
		"bulk-close": {output: 2 * large, data: func(l link, _ []byte) {
			say("wrote: %v", l.write(content(large)))
			l.close()
		}},
		"bulk": {output: 2 * large, data: func(l link, _ []byte) { say("wrote: %v", l.write(content(large))) }},
		"bulk-pieces": {output: 2 * large, data: func(l link, _ []byte) {
			all := content(large)
			list := make([][]byte, pieces)
			for i := range list {
				list[i] = all[i*len(all)/pieces : (i+1)*len(all)/pieces]
			}
			say("wrote: %v", l.writev(list))
		}},
		"bulk-stop": {output: 2 * large, data: func(l link, _ []byte) {
			time.AfterFunc(delay, func() { say("stopped: %v", stop()) })
			_ = l.write(content(large))
		}},
		"count": {
			data: func(l link, p []byte) {
				mu.Lock()
				defer mu.Unlock()
				if received[l] == 0 {
					time.Sleep(2 * delay) // meanwhile the peer sends all it has, and closes
				}
				received[l] += len(p)
			},
			closed: func(l link) {
				mu.Lock()
				defer mu.Unlock()
				say("received: %d", received[l])
			},
		},
		"few-files": {maxFiles: fewFiles, data: func(l link, p []byte) {
			mu.Lock()
			defer mu.Unlock()
			switch string(p) {
			case fillCommand:
				for {
					f, err := os.Open(os.DevNull)
					if err != nil {
						break
					}
					files = append(files, f)
				}
			case freeCommand:
				for _, f := range files {
					_ = f.Close()
				}
				files = nil
			}
			_ = l.write(p)
		}},
		"stale": {
			data: func(l link, p []byte) {
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = l
					return
				}
				say("stale write: %v", attempt(func() error { return first.write([]byte(stale)) }))
				_ = l.write(p)
			},
			closed: func(l link) {
				mu.Lock()
				defer mu.Unlock()
				if l == first {
					say("first closed")
				}
			},
		},
		"panic": {data: func(l link, p []byte) {
			if strings.HasPrefix(string(p), "panic") {
				panic("as asked for")
			}
			echo(l, p)
		}},
		"dial": {data: func(_ link, p []byte) {
			addr := string(p)
			go func() { say("dialed: %v", dial(addr)) }()
		}},
		"idle":   {idle: idleTime, data: echo},
		"refuse": {opened: func(l link) { l.close() }, data: echo},
	}
}
