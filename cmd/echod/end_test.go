package main

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testenv"
)

// mustHaveDrained checks the log of a daemon that has ended.
func mustHaveDrained(t *testing.T, r *running, reason string, connections, aborted int) {
	t.Helper()
	draining := r.log.await(t, "draining")
	if draining.text("reason") != reason || draining.number("connections") != connections {
		t.Errorf("draining: %v; want %s and %d connections", draining, reason, connections)
	}
	if drained := r.log.await(t, "drained"); drained.number("aborted") != aborted {
		t.Errorf("drained: %v; want %d aborted", drained, aborted)
	}
}

// TestSignalDrains: with an idle connection, which is told to go and does.
func TestSignalDrains(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGINT} {
		t.Run(unix.SignalName(s), func(t *testing.T) {
			t.Parallel()
			r, tcp, path := spawnBoth(t)
			c := dial(t, "tcp://"+tcp)
			roundTrip(t, c, "hello")
			r.kill(t, s)
			if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
				t.Errorf("instead of the end: %q, %v", got, err)
			}
			c.Close()
			r.mustEnd(t, exitClean)
			mustHaveDrained(t, r, unix.SignalName(s), 1, 0)
			mustNotExist(t, path)
		})
	}
}

// TestContextDrains is about the same within a process.
func TestContextDrains(t *testing.T) {
	t.Parallel()
	r := launch(t, nil)
	r.ready(t)
	r.cancel()
	r.mustEnd(t, exitClean)
	mustHaveDrained(t, r, "context canceled", 0, 0)
}

// stay keeps a connection busy until it's over, whatever the daemon does.
func stay(t *testing.T, url string) (over <-chan struct{}) {
	t.Helper()
	c := dial(t, url)
	roundTrip(t, c, "hello")
	done := make(chan struct{}, 2)
	go func() {
		_, _ = io.Copy(c, endless{})
		done <- struct{}{}
	}()
	go func() {
		_, _ = io.Copy(io.Discard, c)
		done <- struct{}{}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
		<-done
	})
	return done
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestDrainRunsOut: those who don't go are aborted and counted.
func TestDrainRunsOut(t *testing.T) {
	t.Parallel()
	r, tcp, path := spawnWith(t, map[string]string{"ECHOD_DRAIN_TIMEOUT": "400ms"})
	stay(t, "tcp://"+tcp)
	stay(t, "unix://"+path)
	idle := dial(t, "tcp://"+tcp) // stays as well, and says nothing
	roundTrip(t, idle, "hello")
	r.kill(t, unix.SIGTERM)
	r.mustEnd(t, exitAborted)
	mustHaveDrained(t, r, "SIGTERM", 3, 3)
	mustNotExist(t, path)
}

func spawnWith(t *testing.T, env map[string]string) (r *running, tcp, path string) {
	t.Helper()
	path = filepath.Join(testenv.SocketDir(t), "e.sock")
	all := map[string]string{"ECHOD_LISTEN": "tcp://127.0.0.1:0,unix://" + path}
	maps.Copy(all, env)
	r = spawn(t, all)
	return r, strings.TrimPrefix(r.ready(t), "tcp://"), path
}

// TestSecondSignal ends a drain that would take an hour.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	for _, second := range []syscall.Signal{unix.SIGTERM, unix.SIGINT} {
		t.Run(unix.SignalName(second), func(t *testing.T) {
			t.Parallel()
			r, tcp, path := spawnWith(t, map[string]string{"ECHOD_DRAIN_TIMEOUT": "1h"})
			stay(t, "tcp://"+tcp)
			idle := dial(t, "tcp://"+tcp)
			roundTrip(t, idle, "hello")
			r.kill(t, unix.SIGTERM)
			r.log.await(t, "draining")
			r.kill(t, unix.SIGHUP) // isn't one
			r.log.await(t, "there's nothing to reload")
			r.kill(t, second)
			r.mustEnd(t, exitAborted)
			r.log.await(t, "ending at once", "reason", "a second "+unix.SignalName(second))
			mustHaveDrained(t, r, "SIGTERM", 2, 2)
			mustNotExist(t, path)
			if _, err := io.ReadAll(idle); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("aborted, and yet %v", err)
			}
		})
	}
}

// TestNoDrain is --drain-timeout 0.
func TestNoDrain(t *testing.T) {
	t.Parallel()
	env := map[string]string{"ECHOD_DRAIN_TIMEOUT": "0"}
	t.Run("a connection", func(t *testing.T) {
		t.Parallel()
		r, tcp, _ := spawnWith(t, env)
		roundTrip(t, dial(t, "tcp://"+tcp), "hello")
		r.kill(t, unix.SIGTERM)
		r.mustEnd(t, exitAborted)
		mustHaveDrained(t, r, "SIGTERM", 1, 1)
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		r, _, _ := spawnWith(t, env)
		r.kill(t, unix.SIGTERM)
		r.mustEnd(t, exitClean)
		mustHaveDrained(t, r, "SIGTERM", 0, 0)
	})
}

// TestDrainServesOn: a connection that isn't done is served while draining, to its end.
func TestDrainServesOn(t *testing.T) {
	t.Parallel()
	r, tcp, _ := spawnWith(t, map[string]string{"ECHOD_DRAIN_TIMEOUT": "1h"})
	c := dial(t, "tcp://"+tcp)
	roundTrip(t, c, "hello")
	r.kill(t, unix.SIGTERM)
	r.log.await(t, "draining")
	want := payload(payloadSize)
	mustEcho(t, c, want)
	r.mustEnd(t, exitClean)
	mustHaveDrained(t, r, "SIGTERM", 1, 0)
}

// TestHarmlessSignals: HUP is noted, PIPE isn't.
func TestHarmlessSignals(t *testing.T) {
	t.Parallel()
	r, tcp, _ := spawnBoth(t)
	c := dial(t, "tcp://"+tcp)
	r.kill(t, unix.SIGPIPE)
	r.kill(t, unix.SIGHUP)
	r.log.await(t, "there's nothing to reload", "signal", "SIGHUP")
	roundTrip(t, c, "still here")
	c.Close()
	r.kill(t, unix.SIGTERM)
	r.mustEnd(t, exitClean)
}

// TestLogReaderGoes: "echod 2>&1 | head" mustn't end the daemon.
func TestLogReaderGoes(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(testenv.SocketDir(t), "e.sock")
	cmd := command(t, map[string]string{"ECHOD_LISTEN": "unix://" + socket})
	cmd.Stderr = writer
	r := spawnCommand(t, cmd)
	writer.Close()
	log := bufio.NewScanner(reader)
	for log.Scan() && !strings.Contains(log.Text(), `"msg":"ready"`) {
	}
	reader.Close()
	r.kill(t, unix.SIGHUP) // has it log something
	c := dial(t, "unix://"+socket)
	roundTrip(t, c, "still here")
	c.Close()
	r.kill(t, unix.SIGTERM)
	r.mustEnd(t, exitClean)
}

// TestRestartAfterKill: nothing that a killed daemon leaves keeps the next one from its
// addresses.
func TestRestartAfterKill(t *testing.T) {
	t.Parallel()
	loopback := "127.0.0.1"
	if runtime.GOOS == "linux" {
		loopback = "127.0.0.2" // there nobody is given the port in between
	}
	path := filepath.Join(testenv.SocketDir(t), "e.sock")
	r := spawn(t, map[string]string{"ECHOD_LISTEN": "tcp://" + loopback + ":0,unix://" + path})
	url := r.ready(t)
	connected := dial(t, url)
	roundTrip(t, connected, "hello")
	r.kill(t, unix.SIGKILL)
	r.wait(t)
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("killed, and yet it has cleared up: %v", err)
	}
	next := spawn(t, map[string]string{"ECHOD_LISTEN": "unix://" + path + "," + url})
	next.ready(t)
	next.log.await(t, "removing a stale socket file: no server answers on it", "level", "WARN", "path", path)
	next.log.await(t, "listening", "address", url)
	roundTrip(t, dial(t, url), "hello")
	roundTrip(t, dial(t, "unix://"+path), "hello")
}

// TestSecondDaemon: the first one isn't disturbed by one that can't start.
func TestSecondDaemon(t *testing.T) {
	t.Parallel()
	_, tcp, path := spawnBoth(t)
	for _, url := range []string{"tcp://" + tcp, "unix://" + path} {
		second := spawn(t, map[string]string{"ECHOD_LISTEN": url, "ECHOD_LOG_FORMAT": "text"})
		mustFail(t, second, url, "choose another")
		roundTrip(t, dial(t, url), "hello")
	}
}

// TestPorts holds that each listener gets a line with the port that the system chose.
func TestPorts(t *testing.T) {
	t.Parallel()
	listeners := []string{"tcp://127.0.0.1:0", "tcp4://:0", "tcp://localhost:0", "unix://@" + filepath.Base(testenv.SocketDir(t))}
	r := launch(t, nil, "--listen="+strings.Join(listeners, ","))
	r.ready(t)
	for _, listener := range listeners {
		url := r.log.await(t, "listening", "listener", listener).text("address")
		if network, address, _ := strings.Cut(url, "://"); network == "tcp" {
			if _, port, err := net.SplitHostPort(address); err != nil || port == "0" {
				t.Errorf("%s is %s", listener, url)
			}
		}
		roundTrip(t, dial(t, url), "hello")
	}
}
