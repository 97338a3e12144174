package main

import (
	"bufio"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testenv"
)

// TestOpenSSL has openssl's client send several MiB and get them back, in both versions; the
// drain is an end that it calls a success.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	openssl := testenv.Tool(t, "openssl")
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			r := spawn(t, nil, "--listen="+anyTLS)
			client := exec.CommandContext(t.Context(), openssl, "s_client", "-connect", strings.TrimPrefix(r.ready(t), "tls://"), version, "-quiet")
			to, from := pipes(t, client)
			want := payload(payloadSize)
			sent := make(chan error, 1)
			go func() {
				_, err := to.Write(want)
				sent <- err
			}()
			got := make([]byte, len(want))
			_, err := io.ReadFull(from, got)
			if err := errors.Join(err, <-sent); err != nil {
				t.Fatal(err)
			}
			mustEqual(t, got, want)
			r.kill(t, unix.SIGTERM)
			if rest, err := io.ReadAll(from); err != nil || len(rest) > 0 {
				t.Errorf("%d bytes too many, %v", len(rest), err)
			}
			if err := client.Wait(); err != nil {
				t.Error(err)
			}
			r.mustEnd(t, exitClean)
		})
	}
}

// TestOpenSSLByHand is what a person types, without a flag, and ends with control-D.
func TestOpenSSLByHand(t *testing.T) {
	t.Parallel()
	url := spawn(t, nil, "--listen="+anyTLS).ready(t)
	client := exec.CommandContext(t.Context(), testenv.Tool(t, "openssl"), "s_client", "-connect", strings.TrimPrefix(url, "tls://"))
	to, from := pipes(t, client)
	if _, err := io.WriteString(to, "hello, echo\n"); err != nil {
		t.Fatal(err)
	}
	lines, echoed := bufio.NewScanner(from), false
	for !echoed && lines.Scan() {
		echoed = lines.Text() == "hello, echo"
	}
	if !echoed {
		t.Errorf("no echo: %v", lines.Err())
	}
	to.Close()
	for lines.Scan() {
	}
	if err := client.Wait(); err != nil {
		t.Error(err)
	}
}

// pipes starts a program that ends with the test at the latest.
func pipes(t *testing.T, program *exec.Cmd) (to io.WriteCloser, from io.Reader) {
	t.Helper()
	to, err := program.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	from, err = program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if program.ProcessState == nil {
			_ = program.Process.Kill()
			_ = program.Wait()
		}
	})
	return to, from
}
