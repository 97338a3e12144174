package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// running is a daemon that a test has started, in this process or in one of its own.
type running struct {
	log    *transcript
	signal func(os.Signal) error
	cancel context.CancelFunc // of its context; nil: it's another process
	ended  chan struct{}
	code   int // once ended is closed
}

// environ is the daemons' environment: ports that the system chooses, and a log that
// can be read. own is put over it.
func environ(own map[string]string) map[string]string {
	env := map[string]string{
		"ECHOD_LISTEN":     "tcp://127.0.0.1:0",
		"ECHOD_ADMIN":      "127.0.0.1:0",
		"ECHOD_LOG_FORMAT": "json",
		"ECHOD_REACTORS":   "2",
	}
	maps.Copy(env, own)
	return env
}

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		text, ok := env[name]
		return text, ok
	}
}

// launch runs a daemon in this process.
func launch(t *testing.T, env map[string]string, args ...string) *running {
	t.Helper()
	signals := make(chan os.Signal, 4)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{
		log:    newTranscript(),
		signal: func(s os.Signal) error { signals <- s; return nil },
		cancel: cancel,
		ended:  make(chan struct{}),
	}
	go func() {
		defer close(r.ended)
		r.code = run(ctx, process{
			args:      args,
			lookupEnv: lookupIn(environ(env)),
			stdout:    io.Discard,
			stderr:    r.log,
			signals:   signals,
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case signals <- unix.SIGTERM: // on top of ctx's end: at once
		default:
		}
		r.wait(t)
	})
	return r
}

// spawn runs a daemon in a process of its own.
func spawn(t *testing.T, env map[string]string, args ...string) *running {
	t.Helper()
	return spawnAs(t, nil, env, args...)
}

// spawnAs is spawn by another user, if attr says so.
func spawnAs(t *testing.T, attr *unix.SysProcAttr, env map[string]string, args ...string) *running {
	t.Helper()
	cmd := command(t, env, args...)
	cmd.SysProcAttr = attr
	return spawnCommand(t, cmd)
}

// command is the daemon's, not started.
func command(t *testing.T, env map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = childEnviron(env)
	return cmd
}

// spawnCommand starts a command and reads its standard error, unless that goes
// elsewhere.
func spawnCommand(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{log: newTranscript(), ended: make(chan struct{})}
	if cmd.Stderr == nil {
		cmd.Stderr = r.log
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.signal = cmd.Process.Signal
	go func() {
		defer close(r.ended)
		r.code = exitCode(cmd.Wait())
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has usually ended
		r.wait(t)
	})
	return r
}

// childEnviron is this process's environment without settings of the daemon's but
// env's.
func childEnviron(env map[string]string) []string {
	all := []string{"GORACE=halt_on_error=1 atexit_sleep_ms=0"}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "ECHOD_") {
			all = append(all, pair)
		}
	}
	for name, text := range environ(env) {
		all = append(all, name+"="+text)
	}
	return all
}

// exitCode is −1 for a process that a signal has ended.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	default:
		panic(err)
	}
}

// kill sends a signal.
func (r *running) kill(t *testing.T, s os.Signal) {
	t.Helper()
	if err := r.signal(s); err != nil {
		t.Fatalf("%v: %v; the log:\n%s", s, err, r.log)
	}
}

// wait returns the exit code.
func (r *running) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-r.ended:
		return r.code
	case <-time.After(patience):
		t.Fatalf("it doesn't end; the log:\n%s", r.log)
		return -1
	}
}

// mustEnd fails unless it ends with that exit code.
func (r *running) mustEnd(t *testing.T, want int) {
	t.Helper()
	if code := r.wait(t); code != want {
		t.Fatalf("exit code %d, want %d; the log:\n%s", code, want, r.log)
	}
}

// ready waits until it serves, and returns where: "tcp://127.0.0.1:12345".
func (r *running) ready(t *testing.T) string {
	t.Helper()
	r.log.await(t, "ready")
	return r.log.await(t, "listening").text("address")
}

// admin waits until it serves, and returns the admin listener's URL.
func (r *running) admin(t *testing.T) string {
	t.Helper()
	r.log.await(t, "ready")
	return r.log.await(t, "admin listening").text("address")
}

// stream is a client's connection, of either kind.
type stream interface {
	net.Conn
	CloseWrite() error
}

// dial connects to an address of the log.
func dial(t *testing.T, url string) stream {
	t.Helper()
	network, address, _ := strings.Cut(url, "://")
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(stream)
}

// roundTrip fails unless the text comes back.
func roundTrip(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len(text))
	if _, err := io.ReadFull(c, answer); err != nil {
		t.Fatalf("after %q: %v", answer, err)
	}
	if string(answer) != text {
		t.Fatalf("sent %q, got %q", text, answer)
	}
}

// mustEcho sends want and then its end, and has all of it come back, and the end.
func mustEcho(t *testing.T, c stream, want []byte) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(want)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	got, err := io.ReadAll(c)
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatal(err)
	}
	mustEqual(t, got, want)
}

// mustEqual compares long texts.
func mustEqual(t *testing.T, got, want []byte) {
	t.Helper()
	if err := compare(got, want); err != nil {
		t.Fatal(err)
	}
}

func compare(got, want []byte) error {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Errorf("byte %d of %d differs: got %#x, want %#x", i, len(want), got[i], want[i])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("got %d bytes, want %d", len(got), len(want))
	}
	return nil
}
