package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/server"
)

// children are the programs that this test binary can be.
var children = map[string]func() error{
	// The kernel's part is kept small: it's the server's that is looked at.
	"echo with small kernel buffers": func() error {
		return serveChild(server.Listener{Options: conn.SocketOptions{ReceiveBuffer: 64 << 10, SendBuffer: 64 << 10}})
	},
	"echo with 64 descriptors": func() error {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		limit.Cur = 64
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		return serveChild(server.Listener{})
	},
	"panics at the end": panicsAtTheEnd,
	"goexit": func() error {
		return panicOnce(newRecorder(hooks{established: func(*conn.Stream) { runtime.Goexit() }}))
	},
}

// childStats is what a child tells of itself.
type childStats struct {
	Events       uint64
	Accepted     uint64
	AcceptErrors uint64
	Open         int
	Memory       uint64 // what the Go runtime has from the system
	Resident     uint64 // what the process has
	Buffers      int64
}

// serveChild echoes, answers each line of its input with its statistics, and ends with
// its input.
func serveChild(l server.Listener) error {
	mux, err := conn.NewMux(conn.MuxConfig{SlowCallback: -1})
	if err != nil {
		return err
	}
	l.Name, l.Network, l.Address = "main", "tcp", "127.0.0.1:0"
	srv, err := server.New(server.Config{Callback: echo{}, Listeners: []server.Listener{l}, Mux: mux})
	if err != nil {
		return err
	}
	if err := srv.Start(); err != nil {
		return err
	}
	out := os.Stdout
	if _, err := fmt.Fprintln(out, srv.Addrs()["main"][0]); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := json.NewEncoder(out).Encode(measure(srv)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), failSafe)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		return err
	}
	return mux.Terminate()
}

func measure(srv *server.Server) (cs childStats) {
	st := srv.Stats()
	for _, r := range st.Reactors {
		cs.Events += r.Events
	}
	l := st.Listeners["main"]
	cs.Accepted, cs.AcceptErrors, cs.Open, cs.Buffers = l.Accepted, l.AcceptErrors, st.Open, st.Buffers.InUse
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	cs.Memory = sample[0].Value.Uint64() - sample[1].Value.Uint64()
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			pages, _ := strconv.ParseUint(fields[1], 10, 64)
			cs.Resident = pages * uint64(os.Getpagesize())
		}
	}
	return cs
}

// child is a process that runs one of children.
type child struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	addr string
}

// runChild runs a child to its end, and returns what it has written.
func runChild(t *testing.T, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(t.Context(), failSafe)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+name)
	return cmd.CombinedOutput()
}

// startChild starts a server in a process of its own, which ends with the test.
func startChild(t *testing.T, name string) *child {
	t.Helper()
	watchForLeaks(t)
	c := &child{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0])}
	c.cmd.Env = append(os.Environ(), childVariable+"="+name)
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.addr = c.line()
	return c
}

// stop ends the child, which must end well. Its clients are to be closed before.
func (c *child) stop() {
	c.t.Helper()
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		c.t.Error("the child:", err)
	}
}

func (c *child) line() string {
	c.t.Helper()
	if !c.out.Scan() {
		c.t.Fatalf("the child has ended: %v", c.out.Err())
	}
	return c.out.Text()
}

func (c *child) stats() (cs childStats) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, "\n"); err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(c.line()), &cs); err != nil {
		c.t.Fatal(err)
	}
	return cs
}
