package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// The second interrupt ends the program at once, whatever it waits for, with all of its
// processes, and leaves files as they were.
func TestInterruptTwice(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, procs := range []string{"1", "2"} {
		// It ends when the last connection does.
		url := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		name := temporary(t, "run.json")
		if err := os.WriteFile(name, []byte("yesterday's"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, "run", url, "--procs", procs, "--timeout", "1h", "-d", "1h", "--interval", "50ms", "--json", name)
		begun := make(chan struct{})
		cmd.Stderr = &trigger{text: "measure", pull: func() { close(begun) }}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = cmd.Wait()
		}()
		<-begun
		interrupts := time.NewTicker(50 * time.Millisecond) // whenever the first one has come
		defer interrupts.Stop()
		sent := 0
		for waiting := true; waiting; {
			select {
			case <-interrupts.C:
				_ = cmd.Process.Signal(os.Interrupt)
				sent++
			case <-ended:
				waiting = false
			}
		}
		if s := cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGINT || sent < 2 {
			t.Errorf("%v after %d interrupts", cmd.ProcessState, sent)
		}
		mustHold(t, name, "yesterday's")
	}
}
