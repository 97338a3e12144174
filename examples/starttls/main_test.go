package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-net/sluice/secure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the program until the test ends, and returns where it listens.
func start(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, slog.New(slog.NewJSONHandler(w, nil)), "127.0.0.1:0", secure.Certificate{})
		_ = w.Close()
	}()
	lines := bufio.NewScanner(r)
	var said struct{ Address string }
	for said.Address == "" && lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
			t.Fatal(err)
		}
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines.Scan() {
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		<-read
	})
	return said.Address
}

type dialogue struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (d *dialogue) on(c net.Conn) { d.Conn, d.r = c, bufio.NewReader(c) }

func (d *dialogue) say(what string) {
	d.t.Helper()
	if _, err := d.Write([]byte(what)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *dialogue) hear(want string) {
	d.t.Helper()
	if got, err := d.r.ReadString('\n'); err != nil || got != want+"\n" {
		d.t.Fatalf("%q, %v, want %q", got, err, want)
	}
}

func talk(t *testing.T, at string) *dialogue {
	t.Helper()
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	d := &dialogue{t: t}
	d.on(c)
	d.hear("hello: STARTTLS, QUIT, or anything else")
	return d
}

func TestStartTLS(t *testing.T) {
	d := talk(t, start(t))
	d.say("one\ntwo\n")
	d.hear("one (in the clear)")
	d.hear("two (in the clear)")
	d.say("STARTTLS\n")
	d.hear("go ahead")
	c := tls.Client(d.Conn, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	d.on(c)
	d.say("three\nSTARTTLS\nfour\n")
	d.hear("three (TLS 1.2)")
	d.hear("it's TLS already")
	d.hear("four (TLS 1.2)")
	d.say("QUIT\n")
	if rest, err := io.ReadAll(d.r); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v, want the end", rest, err)
	}
}

// What's sent behind STARTTLS in the clear isn't taken for what comes later.
func TestInjection(t *testing.T) {
	at := start(t)
	for _, early := range []string{"evil\n", "half a line"} {
		d := talk(t, at)
		d.say("STARTTLS\n" + early)
		if got, err := d.r.ReadString('\n'); err == nil && got != "go ahead\n" {
			t.Errorf("%q is answered by %q", early, got)
		}
		if _, err := d.r.ReadByte(); err == nil {
			t.Errorf("after %q it goes on", early)
		}
	}
}
