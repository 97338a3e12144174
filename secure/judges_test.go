package secure_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/testenv"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// A judge is a program with a TLS of its own: OpenSSL, GnuTLS.

// line is what it's told, and what it then writes; "": the same.
type line struct{ tell, hear string }

// converse runs one, tells it each line when the one before was answered, and ends its input
// after the last. It returns what the program has written, and how it ended.
func converse(t *testing.T, lines []line, tool string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), failSafe)
	defer cancel()
	cmd := exec.CommandContext(ctx, testenv.Tool(t, tool), args...)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = cmd.Stdout
	must(t, cmd.Start())
	var out strings.Builder
	p := make([]byte, 32<<10)
	heard, answered := 0, 0
	for _, l := range lines {
		written := make(chan struct{})
		go func() {
			defer close(written)
			_, _ = io.WriteString(stdin, l.tell+"\n") // one that has failed doesn't read it
		}()
		if l.hear == "" {
			l.hear = l.tell
		}
		for err == nil && !strings.Contains(out.String()[heard:], l.hear) { // in the midst of what else it writes
			var n int
			n, err = stdout.Read(p)
			out.Write(p[:n])
		}
		if err != nil {
			_ = stdin.Close()
			<-written
			break
		}
		<-written
		heard, answered = out.Len(), answered+1
	}
	_ = stdin.Close()
	_, _ = io.Copy(&out, stdout)
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s is still running after %v: %s", tool, failSafe, &out)
	case err == nil && answered < len(lines):
		err = fmt.Errorf("%s has heard %d of %d lines", tool, answered, len(lines))
	}
	return out.String(), err
}

// courtroom has servers with each kind of key, and the files that the judges want.
type courtroom struct {
	ca, client, stranger string // files; those of clients have the key, too
	open, strict         map[string]string
}

func newCourtroom(t *testing.T) *courtroom {
	ca := authority(t, "court")
	dir := t.TempDir()
	file := func(name string, parts ...[]byte) string {
		write(t, filepath.Join(dir, name), bytes.Join(parts, nil))
		return filepath.Join(dir, name)
	}
	client, stranger := ca.leaf(t, "another", "client"), authority(t, "stranger").leaf(t, "another", "client")
	r := &courtroom{
		ca:       file("ca.pem", ca.certPEM()),
		client:   file("client.pem", client.certPEM(), client.keyPEM(t)),
		stranger: file("stranger.pem", stranger.certPEM(), stranger.keyPEM(t)),
		open:     map[string]string{}, strict: map[string]string{},
	}
	var all []*secure.Context
	names := []string{"ECDSA", "RSA", "Ed25519"}
	for _, key := range names {
		c := secure.Config{Certificates: []secure.Certificate{ca.leaf(t, key, "a.test").certificate()}, ALPN: []string{"first", "match"}}
		all = append(all, newContext(t, c))
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, ca.pool()
		all = append(all, newContext(t, c))
	}
	at := serve(t, echo{}, all...)
	for i, key := range names {
		r.open[key], r.strict[key] = at[2*i], at[2*i+1]
	}
	return r
}

// judged runs a judge, and looks for words in what it writes: for some, and, behind a "!", for
// none. It works if the first of them is "works".
func judged(t *testing.T, what string, want []string, lines []line, tool string, args ...string) {
	t.Helper()
	out, err := converse(t, lines, tool, args...)
	if works := want[0] == "works"; (err == nil) != works {
		t.Errorf("%s: %s ends with %v, want it to work: %v\n%s", what, tool, err, works, out)
		return
	}
	for _, w := range want[1:] {
		if w, not := strings.CutPrefix(w, "!"); strings.Contains(out, w) == not {
			t.Errorf("%s: %s says %q: %v\n%s", what, tool, w, !not, out)
		}
	}
}

// DESIGN: any client: OpenSSL's, with all versions, keys, ALPN, resumption, client
// certificates. faults.md, TLS: KeyUpdate, renegotiation.
func TestOpenSSL(t *testing.T) {
	r := newCourtroom(t)
	once := []line{{tell: said}}
	args := func(at, version string, more ...string) []string {
		return append([]string{"s_client", "-connect", at, "-CAfile", r.ca, "-verify_return_error", "-servername", "a.test", "-verify_hostname", "a.test", version}, more...)
	}
	for option, version := range map[string]string{"-tls1_2": "TLSv1.2", "-tls1_3": "TLSv1.3"} {
		for key, at := range r.strict {
			session := filepath.Join(t.TempDir(), "session")
			what := version + ", " + key
			judged(t, what, []string{"works", "New, " + version, "ALPN protocol: match", "Verification: OK"}, once,
				"openssl", args(at, option, "-alpn", "other,match", "-cert", r.client, "-sess_out", session)...)
			judged(t, what+", resumed", []string{"works", "Reused, " + version, "ALPN protocol: match"}, once,
				"openssl", args(at, option, "-alpn", "other,match", "-cert", r.client, "-sess_in", session)...)
			judged(t, what+", without ALPN and certificate", []string{"works", "No ALPN negotiated"}, once,
				"openssl", args(r.open[key], option)...)
		}
		at := r.strict["ECDSA"]
		judged(t, version+", no client certificate", []string{"fails", "alert"}, once, "openssl", args(at, option)...)
		judged(t, version+", a stranger's", []string{"fails", "alert"}, once, "openssl", args(at, option, "-cert", r.stranger)...)
		judged(t, version+", ALPN mismatch", []string{"fails", "alert no application protocol"}, once, "openssl", args(r.open["RSA"], option, "-alpn", "other")...)
	}
	judged(t, "TLS 1.1", []string{"fails", "alert"}, once, "openssl", args(r.open["RSA"], "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")...)
	judged(t, "KeyUpdate", []string{"works"}, []line{{"first", ""}, {"K", "KEYUPDATE"}, {"k", "KEYUPDATE"}, {"K", "KEYUPDATE"}, {said, ""}}, "openssl", args(r.open["RSA"], "-tls1_3")...)
	judged(t, "renegotiation", []string{"fails", "alert"}, []line{{"first", ""}, {"R", "RENEGOTIATING"}, {said, ""}}, "openssl", args(r.open["RSA"], "-tls1_2")...)
}

// The same with GnuTLS.
func TestGnuTLS(t *testing.T) {
	r := newCourtroom(t)
	once := []line{{tell: said}}
	args := func(at, version string, more ...string) []string {
		host, port, err := net.SplitHostPort(at)
		must(t, err)
		return append([]string{host, "--port", port, "--x509cafile", r.ca, "--sni-hostname", "a.test", "--verify-hostname", "a.test", "--priority", "NORMAL:-VERS-ALL:+VERS-" + version}, more...)
	}
	for _, version := range []string{"TLS1.2", "TLS1.3"} {
		for key, at := range r.strict {
			what := version + ", " + key
			certificate := []string{"--x509certfile", r.client, "--x509keyfile", r.client}
			judged(t, what, []string{"works", "(" + version, "Application protocol: match", "certificate is trusted", "!resumed session"}, once,
				"gnutls-cli", args(at, version, append(certificate, "--alpn", "match")...)...)
			judged(t, what+", resumed", []string{"works", "This is a resumed session"}, once,
				"gnutls-cli", args(r.open[key], version, "--resume", "--waitresumption")...)
		}
		judged(t, version+", no client certificate", []string{"fails"}, once, "gnutls-cli", args(r.strict["RSA"], version)...)
		judged(t, version+", ALPN mismatch", []string{"fails", "alert"}, once, "gnutls-cli", args(r.open["RSA"], version, "--alpn", "other")...)
	}
}

// socat, with more than fits into any buffer.
func TestSocat(t *testing.T) {
	r := newCourtroom(t)
	text := make([]byte, 1<<20)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range text {
		text[i] = 'a' + byte(random.IntN(26))
	}
	out, err := converse(t, []line{{tell: string(text)}}, "socat", "-t", "20", "-",
		"OPENSSL:"+r.strict["ECDSA"]+",cafile="+r.ca+",commonname=a.test,snihost=a.test,cert="+r.client)
	if err != nil || out != string(text)+"\n" {
		t.Errorf("%d bytes came back, want %d: %v, %.200q", len(out), len(text)+1, err, out)
	}
}

// pages answers each request with the same, and closes.
type pages struct {
	server.BaseCallback
	page []byte
}

func (p *pages) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { c.Read() }
func (p *pages) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	if !bytes.HasSuffix(b.Bytes(), []byte("\r\n\r\n")) {
		c.Read()
		return
	}
	_ = c.Send([]byte("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + strconv.Itoa(len(p.page)) + "\r\n\r\n"))
	_ = c.Send(p.page)
	_ = c.Shutdown()
}

// curl, with HTTP over it.
func TestCurl(t *testing.T) {
	ca := authority(t, "curl")
	file := filepath.Join(t.TempDir(), "ca.pem")
	write(t, file, ca.certPEM())
	page := bytes.Repeat([]byte("a page, and another page\n"), 40_000)
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()}, ALPN: []string{"http/1.1"}})
	_, port, err := net.SplitHostPort(serve(t, &pages{page: page}, x)[0])
	must(t, err)
	curl := testenv.Tool(t, "curl")
	for _, version := range []string{"1.2", "1.3"} {
		for name, works := range map[string]bool{"a.test": true, "b.test": false} {
			ctx, cancel := context.WithTimeout(t.Context(), failSafe)
			out, err := exec.CommandContext(ctx, curl, "--silent", "--show-error", "--noproxy", "*", "--cacert", file, "--tlsv"+version, "--tls-max", version,
				"--resolve", name+":"+port+":127.0.0.1", "https://"+name+":"+port+"/").Output()
			cancel()
			if (err == nil) != works || works && !bytes.Equal(out, page) {
				t.Errorf("TLS %s, %s: %d bytes, %v", version, name, len(out), err)
			}
		}
	}
}
