package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// notify delivers the signals that the daemon acts on. SIGPIPE isn't one of them:
// ignored, writing to a closed stderr is an error like any other, where Go would end
// the process.
func notify() <-chan os.Signal {
	signal.Ignore(unix.SIGPIPE)
	c := make(chan os.Signal, 4)
	signal.Notify(c, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	return c
}

// nameOf is SIGTERM for SIGTERM, where its String is "terminated".
func nameOf(s os.Signal) string {
	if number, ok := s.(syscall.Signal); ok {
		if name := unix.SignalName(number); name != "" {
			return name
		}
	}
	return s.String()
}
