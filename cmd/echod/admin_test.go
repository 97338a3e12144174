package main

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/internal/testenv"
)

// ask makes a request on a connection of its own, so that none outlives the test.
func ask(t *testing.T, method, url string) (status int, body string, header http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, request)
}

func do(t *testing.T, request *http.Request) (status int, body string, header http.Header) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header
}

func mustAnswer(t *testing.T, url string, wantStatus int, wantBody string) {
	t.Helper()
	if status, body, _ := ask(t, http.MethodGet, url); status != wantStatus || !strings.HasPrefix(body, wantBody) {
		t.Errorf("%s: %d %q, want %d %q", url, status, body, wantStatus, wantBody)
	}
}

func TestAdminAnswers(t *testing.T) {
	t.Parallel()
	base := launch(t, nil).admin(t)
	tests := []struct {
		method, path string
		status       int
		body         string
	}{
		{http.MethodGet, "/healthz", http.StatusOK, "ok\n"},
		{http.MethodHead, "/healthz", http.StatusOK, ""},
		{http.MethodPost, "/healthz", http.StatusMethodNotAllowed, "Method Not Allowed\n"},
		{http.MethodGet, "/readyz", http.StatusOK, "ready\n"},
		{http.MethodHead, "/readyz", http.StatusOK, ""},
		{http.MethodDelete, "/readyz", http.StatusMethodNotAllowed, "Method Not Allowed\n"},
		{http.MethodHead, "/metrics", http.StatusOK, ""},
		{http.MethodPost, "/metrics", http.StatusMethodNotAllowed, "Method Not Allowed\n"},
		{http.MethodGet, "/debug/pprof/", http.StatusNotFound, "404 page not found\n"},
		{http.MethodGet, "/drain", http.StatusMethodNotAllowed, "Method Not Allowed\n"},
		{http.MethodHead, "/drain", http.StatusMethodNotAllowed, ""},
		{http.MethodPut, "/drain", http.StatusMethodNotAllowed, "Method Not Allowed\n"},
		{http.MethodGet, "/", http.StatusNotFound, "404 page not found\n"},
		{http.MethodGet, "/readyz/x", http.StatusNotFound, "404 page not found\n"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			t.Parallel()
			status, body, header := ask(t, tt.method, base+tt.path)
			if status != tt.status || body != tt.body {
				t.Errorf("%d %q, want %d %q", status, body, tt.status, tt.body)
			}
			allow := "GET, HEAD"
			if tt.path == "/drain" {
				allow = "POST"
			}
			if status == http.StatusMethodNotAllowed && header.Get("Allow") != allow {
				t.Errorf("Allow: %s", header.Get("Allow"))
			}
			if status == http.StatusOK && tt.path != "/metrics" && header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control: %s", header.Get("Cache-Control"))
			}
		})
	}
}

// operations, A daemon: POST /drain does what TERM does; again, it changes nothing.
func TestDrainByRequest(t *testing.T) {
	t.Parallel()
	r := launch(t, map[string]string{"ECHOD_DRAIN_TIMEOUT": "1h"})
	c := dial(t, r.ready(t))
	roundTrip(t, c, "hello")
	base := r.admin(t)
	for range 3 {
		status, body, header := ask(t, http.MethodPost, base+"/drain")
		if status != http.StatusAccepted || body != "draining; connections have 1h0m0s to end by themselves\n" ||
			header.Get("Content-Type") != "text/plain; charset=utf-8" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %q %v", status, body, header)
		}
		r.log.await(t, "draining")
	}
	mustAnswer(t, base+"/readyz", http.StatusServiceUnavailable, "draining")
	roundTrip(t, c, "still served")
	c.Close()
	r.mustEnd(t, exitClean)
	mustHaveDrained(t, r, "POST /drain", 1, 0)
}

// A page of another site can't have a browser on this machine drain the daemon.
func TestDrainByAnotherSite(t *testing.T) {
	t.Parallel()
	r := launch(t, nil)
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://example.com"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.admin(t)+"/drain", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(name, value)
		if status, _, _ := do(t, request); status != http.StatusForbidden {
			t.Errorf("%s: %s: %d", name, value, status)
		}
	}
	mustAnswer(t, r.admin(t)+"/readyz", http.StatusOK, "ready")
}

// TestProfilesOnRequest: --pprof is for those who ask for it.
func TestProfilesOnRequest(t *testing.T) {
	t.Parallel()
	mustAnswer(t, launch(t, nil, "--pprof").admin(t)+"/debug/pprof/", http.StatusOK, "profile?seconds=30\n")
}

func TestAdminOff(t *testing.T) {
	t.Parallel()
	r := launch(t, map[string]string{"ECHOD_ADMIN": ""})
	r.ready(t)
	if text := r.log.String(); strings.Contains(text, "admin") {
		t.Errorf("it's off: %s", text)
	}
}

// TestProbesWhileDraining: not ready from the first moment, healthy to the last.
func TestProbesWhileDraining(t *testing.T) {
	t.Parallel()
	r := launch(t, map[string]string{"ECHOD_DRAIN_TIMEOUT": "1h"})
	c := dial(t, r.ready(t))
	roundTrip(t, c, "hello")
	mustAnswer(t, r.admin(t)+"/readyz", http.StatusOK, "ready")
	r.kill(t, unix.SIGTERM)
	r.log.await(t, "draining")
	mustAnswer(t, r.admin(t)+"/readyz", http.StatusServiceUnavailable, "draining")
	mustAnswer(t, r.admin(t)+"/healthz", http.StatusOK, "ok")
	roundTrip(t, c, "still served")
	c.Close()
	r.mustEnd(t, exitClean)
}

// TestMetrics holds that /metrics tells of the echo, by listener, also while draining.
func TestMetrics(t *testing.T) {
	t.Parallel()
	file := "unix://" + filepath.Join(testenv.SocketDir(t), "e.sock")
	r := launch(t, map[string]string{
		"ECHOD_LISTEN":          "tcp://127.0.0.1:0," + file,
		"ECHOD_DRAIN_TIMEOUT":   "1h",
		"ECHOD_MAX_CONNECTIONS": "7",
	})
	first, second := dial(t, r.ready(t)), dial(t, file)
	roundTrip(t, first, "hello")
	roundTrip(t, second, "hello, world")
	scrape := func(lines ...string) {
		t.Helper()
		status, body, header := ask(t, http.MethodGet, r.admin(t)+"/metrics")
		if status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
			t.Errorf("%d %s", status, header.Get("Content-Type"))
		}
		for _, line := range lines {
			if !strings.Contains(body, "\n"+line+"\n") {
				t.Errorf("%s isn't in\n%s", line, body)
			}
		}
	}
	// The answer is on its way before what it took is counted.
	awaitLine(t, r.admin(t)+"/metrics", `sluice_sent_bytes_total{listener="tcp://127.0.0.1:0",server="default"} 5`)
	awaitLine(t, r.admin(t)+"/metrics", `sluice_sent_bytes_total{listener="`+file+`",server="default"} 12`)
	scrape(
		`sluice_connections_open{listener="`+file+`",server="default",state="established"} 1`,
		`sluice_connections_limit{listener="",server="default"} 7`,
		`sluice_ready 1`,
		`sluice_draining 0`,
	)
	r.kill(t, unix.SIGTERM)
	r.log.await(t, "draining")
	scrape(`sluice_ready 0`, `sluice_draining 1`)
	first.Close()
	second.Close()
	r.mustEnd(t, exitClean)
}

// awaitLine asks until the answer has a line.
func awaitLine(t *testing.T, url, line string) {
	t.Helper()
	late := time.Now().Add(patience)
	for {
		_, body, _ := ask(t, http.MethodGet, url)
		if strings.Contains(body, "\n"+line+"\n") {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%s isn't in\n%s", line, body)
		}
	}
}

// TestIdleProbes: a client that connects to the admin listener and says
// nothing, or doesn't hang up, doesn't keep the daemon from ending.
func TestIdleProbes(t *testing.T) {
	t.Parallel()
	r := launch(t, nil)
	silent := dial(t, strings.Replace(r.admin(t), "http://", "tcp://", 1))
	kept := dial(t, strings.Replace(r.admin(t), "http://", "tcp://", 1))
	if _, err := io.WriteString(kept, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.kill(t, unix.SIGTERM)
	r.mustEnd(t, exitClean)
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("the silent connection is still open")
	}
}
