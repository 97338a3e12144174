package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testenv"
)

// payload is n bytes of which no part looks like another.
func payload(n int) []byte {
	var seed [32]byte
	p := make([]byte, n)
	if _, err := rand.NewChaCha8(seed).Read(p); err != nil {
		panic(err)
	}
	return p
}

const payloadSize = 4 << 20 // far more than the kernel and the daemon hold at a time

// spawnBoth runs a daemon on TCP and on a Unix-domain socket.
func spawnBoth(t *testing.T) (r *running, tcp, path string) {
	t.Helper()
	path = filepath.Join(testenv.SocketDir(t), "e.sock")
	r = spawn(t, map[string]string{"ECHOD_LISTEN": "tcp://127.0.0.1:0,unix://" + path})
	url := r.ready(t)
	return r, strings.TrimPrefix(url, "tcp://"), path
}

// TestPrograms has the programs that people have send several MiB, end their side, and
// get all of it back.
func TestPrograms(t *testing.T) {
	t.Parallel()
	_, tcp, path := spawnBoth(t)
	host, port, err := net.SplitHostPort(tcp)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		program func(*testing.T) string
		args    []string
	}{
		{"nc over TCP", requireNetcat, []string{"-N", host, port}},
		{"nc over Unix", requireNetcat, []string{"-N", "-U", path}},
		{"socat over TCP", socat, []string{"-t30", "-", "TCP:" + tcp}},
		{"socat over Unix", socat, []string{"-t30", "-", "UNIX-CONNECT:" + path}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := payload(payloadSize)
			var got, stderr bytes.Buffer
			client := exec.CommandContext(t.Context(), tt.program(t), tt.args...)
			client.Stdin, client.Stdout, client.Stderr = bytes.NewReader(want), &got, &stderr
			if err := client.Run(); err != nil {
				t.Fatalf("%v: %s", err, &stderr)
			}
			mustEqual(t, got.Bytes(), want)
		})
	}
}

func socat(t *testing.T) string { return testenv.Tool(t, "socat") }

// TestHalfClose is the same by hand, with several connections at a time.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	_, tcp, path := spawnBoth(t)
	want := payload(payloadSize)
	for _, url := range []string{"tcp://" + tcp, "unix://" + path, "tcp://" + tcp, "unix://" + path} {
		t.Run(url[:4], func(t *testing.T) {
			t.Parallel()
			c := dial(t, url)
			mustEcho(t, c, want)
		})
	}
}

// TestNothingIsEchoedAsNothing: a peer that ends its side without a byte.
func TestNothingIsEchoedAsNothing(t *testing.T) {
	t.Parallel()
	_, tcp, path := spawnBoth(t)
	for _, url := range []string{"tcp://" + tcp, "unix://" + path} {
		c := dial(t, url)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
			t.Errorf("%s: %q, %v", url, got, err)
		}
	}
}

// sendOOB sends a byte out of band.
func sendOOB(t *testing.T, c net.Conn, b byte) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		_, sendErr = unix.SendmsgN(int(fd), []byte{b}, nil, nil, unix.MSG_OOB)
		return !errors.Is(sendErr, unix.EAGAIN)
	})
	if err := errors.Join(err, sendErr); err != nil {
		t.Fatal(err)
	}
}

// TestOutOfBand holds that urgent bytes are neither echoed nor in the way of the others.
func TestOutOfBand(t *testing.T) {
	t.Parallel()
	_, tcp, _ := spawnBoth(t)
	t.Run("between", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "tcp://"+tcp)
		if _, err := io.WriteString(c, "aaaa"); err != nil {
			t.Fatal(err)
		}
		sendOOB(t, c, '!')
		if _, err := io.WriteString(c, "bbbb"); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); err != nil || string(got) != "aaaabbbb" {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("again and again", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "tcp://"+tcp)
		for range 100 {
			sendOOB(t, c, '!')
			roundTrip(t, c, "aaaabbbb")
		}
	})
	t.Run("last", func(t *testing.T) {
		t.Parallel()
		c := dial(t, "tcp://"+tcp)
		roundTrip(t, c, "aaaa")
		sendOOB(t, c, '!')
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestPeerThatDoesNotRead holds that who doesn't read isn't read from, in bounded
// memory, and that nothing is lost of what was taken. A Unix-domain socket holds little,
// whatever the machine's settings.
func TestPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	_, tcp, path := spawnBoth(t)
	want := payload(64 << 20)
	c := dial(t, "unix://"+path)
	if err := c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	taken, err := c.Write(want)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes were taken: %v", taken, err)
	}
	if taken > 4<<20 {
		t.Errorf("%d bytes were taken", taken)
	}
	roundTrip(t, dial(t, "tcp://"+tcp), "the others are served")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	mustEqual(t, got, want[:taken])
}

// TestMaxConnections holds that those above the limit wait, and then are served.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	r := launch(t, map[string]string{"ECHOD_MAX_CONNECTIONS": "1"})
	url := r.ready(t)
	first := dial(t, url)
	roundTrip(t, first, "first")
	second := dial(t, url)
	r.log.await(t, "the maximum of connections is reached; accepting pauses until one closes")
	first.Close()
	roundTrip(t, second, "second")
}

// TestRefused holds that those above the other limits are refused, and that a limit for
// each address isn't one for Unix-domain sockets.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]string{"ECHOD_MAX_PER_ADDRESS": "per_address", "ECHOD_ACCEPT_RATE": "rate"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := "unix://" + filepath.Join(testenv.SocketDir(t), "e.sock")
			r := launch(t, map[string]string{name: "1", "ECHOD_LISTEN": "tcp://127.0.0.1:0," + file})
			url := r.ready(t)
			roundTrip(t, dial(t, url), "first")
			second, err := net.Dial("tcp", strings.TrimPrefix(url, "tcp://"))
			if err == nil { // the reset may be as early as in the dial
				_, err = second.Read(make([]byte, 1))
				second.Close()
			}
			if !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("%v, want a reset", err)
			}
			awaitLine(t, r.admin(t)+"/metrics", `sluice_connections_rejected_total{listener="tcp://127.0.0.1:0",reason="`+reason+`",server="default"} 1`)
			roundTrip(t, dial(t, file), "first")
			if reason == "per_address" {
				roundTrip(t, dial(t, file), "second")
			}
		})
	}
}

// TestIdleTimeout holds that a silent connection is ended, and not before its time.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	const idle = 300 * time.Millisecond
	r := launch(t, map[string]string{"ECHOD_IDLE_TIMEOUT": idle.String()})
	c := dial(t, r.ready(t))
	roundTrip(t, c, "hello")
	begun := time.Now()
	if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
	if took := time.Since(begun); took < idle/2 {
		t.Errorf("ended after %v", took)
	}
}
