package main

import (
	"bufio"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seed-contract.md: a client of the ISocket documents, which sends before it's connected.
func TestClient(t *testing.T) {
	for network, at := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		l, err := net.Listen(network, at)
		if err != nil {
			t.Fatal(err)
		}
		heard := make(chan string, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				heard <- err.Error()
				return
			}
			defer c.Close()
			line, _ := bufio.NewReader(c).ReadString('\n')
			heard <- line
			_, _ = c.Write([]byte("welcome"))
		}()
		args := []string{"-to", l.Addr().String(), "-say", "it's me"}
		if network == "unix" {
			args = append(args, "-local")
		}
		var out strings.Builder
		if err := run(t.Context(), args, &out); err != nil {
			t.Error(err)
		}
		if got := <-heard; got != "it's me\n" {
			t.Errorf("the server has heard %q", got)
		}
		for _, want := range []string{"connected\n", "Data had been sent\n", "Received \"welcome\"\n", "ended: by_peer\n"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in %q", want, out.String())
			}
		}
		_ = l.Close()
	}
}

func TestClientWithoutAServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	_ = l.Close()
	var out strings.Builder
	if err := run(t.Context(), []string{"-to", at}, &out); !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(out.String(), "connect_rejected") {
		t.Errorf("%v, and %q", err, out.String())
	}
}
