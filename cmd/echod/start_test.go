package main

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-net/sluice/internal/testenv"
)

// mustFail holds what every failure to start has in common: exit code 1, one line that
// begins with the program's name, and the texts in it.
func mustFail(t *testing.T, r *running, texts ...string) {
	t.Helper()
	r.mustEnd(t, exitFailure)
	mustBeOneLine(t, r.log.String(), texts...)
}

func mustBeOneLine(t *testing.T, line string, texts ...string) {
	t.Helper()
	if !strings.HasPrefix(line, "echod: ") || strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
		t.Errorf("not one line of echod's: %q", line)
	}
	for _, text := range texts {
		if !strings.Contains(line, text) {
			t.Errorf("%q isn't in %q", text, line)
		}
	}
}

func mustNotExist(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s: %v; it shouldn't exist", path, err)
	}
}

// occupy listens on an address, and returns it.
func occupy(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestStartFails holds that a daemon which can't have all that it was asked for says why
// and what to do, and leaves nothing behind.
func TestStartFails(t *testing.T) {
	t.Parallel()
	dir := testenv.SocketDir(t)
	taken := occupy(t, "tcp", "127.0.0.1:0")
	live := occupy(t, "unix", filepath.Join(dir, "live.sock"))
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		listen string // beside a socket that must be gone afterwards
		admin  string
		want   []string
	}{
		{name: "address in use", listen: "tcp://" + taken, want: []string{taken, "address already in use", "stop it, or choose another"}},
		{name: "live socket file", listen: "unix://" + live, want: []string{live, "in use by a running server", "stop it, or choose another"}},
		{name: "file that's no socket", listen: "unix://" + file, want: []string{file, "isn't a socket", "choose another"}},
		{name: "no folder", listen: "unix:///nonexistent/e.sock", want: []string{"/nonexistent/e.sock", "the directory doesn't exist; create it"}},
		{name: "address of another machine", listen: "tcp://192.0.2.1:7007", want: []string{"192.0.2.1:7007", "choose one of its own"}},
		{name: "unknown host", listen: "tcp://no..host:7007", want: []string{"no..host", "check the host"}},
		{name: "admin address in use", admin: taken, want: []string{"--admin " + taken + ": ", "address already in use", "stop what listens there"}},
		{name: "admin address of another machine", admin: "192.0.2.1:7070", want: []string{"--admin 192.0.2.1:7070: ", "choose an address of this machine"}},
		{name: "admin on an unknown host", admin: "no..host:7070", want: []string{"--admin no..host:7070: ", "choose an address of this machine"}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			first := filepath.Join(dir, "first"+string(rune('a'+i)))
			env := map[string]string{"ECHOD_LISTEN": "unix://" + first, "ECHOD_LOG_FORMAT": "text"}
			if tt.listen != "" {
				env["ECHOD_LISTEN"] += "," + tt.listen
			}
			if tt.admin != "" {
				env["ECHOD_ADMIN"] = tt.admin
			}
			mustFail(t, launch(t, env), tt.want...)
			mustNotExist(t, first)
		})
	}
	t.Cleanup(func() { // once the parallel ones are done
		if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
			t.Errorf("the file is %q, %v", text, err)
		}
		if info, err := os.Lstat(live); err != nil || info.Mode().Type() != fs.ModeSocket {
			t.Errorf("the live socket file has gone: %v", err)
		}
	})
}

// TestTooManyReactors runs with few descriptors.
func TestTooManyReactors(t *testing.T) {
	t.Parallel()
	cmd := command(t, map[string]string{"ECHOD_LOG_FORMAT": "text"})
	cmd.Args = []string{"sh", "-c", `ulimit -n 64 && exec "$0" --reactors 100`, cmd.Path}
	cmd.Path = testenv.Tool(t, "sh")
	mustFail(t, spawnCommand(t, cmd), "--reactors 100: ", "too many open files", "choose fewer", "ulimit -n")
}

// TestFailureInJSON holds that a program which reads the log can read this too.
func TestFailureInJSON(t *testing.T) {
	t.Parallel()
	taken := occupy(t, "tcp", "127.0.0.1:0")
	r := launch(t, map[string]string{"ECHOD_LISTEN": "tcp://" + taken})
	r.mustEnd(t, exitFailure)
	all := events(r.log.String())
	if len(all) != 1 || all[0].text("level") != "ERROR" || !strings.Contains(all[0].text("error"), taken) {
		t.Errorf("not one event about %s: %s", taken, r.log)
	}
}

// TestStaleFileOutlivesFailure: what a daemon finds is touched only once it's sure to
// start.
func TestStaleFileOutlivesFailure(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testenv.SocketDir(t), "stale.sock")
	leaveStale(t, path)
	taken := occupy(t, "tcp", "127.0.0.1:0")
	mustFail(t, launch(t, map[string]string{
		"ECHOD_LISTEN":     "unix://" + path,
		"ECHOD_ADMIN":      taken,
		"ECHOD_LOG_FORMAT": "text",
	}), taken)
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

// leaveStale makes the socket file of a server that has gone.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

// TestNotPermitted runs as somebody who may not write where the socket should be.
func TestNotPermitted(t *testing.T) {
	t.Parallel()
	dir := testenv.SocketDir(t)
	var attr *syscall.SysProcAttr
	if os.Geteuid() == 0 {
		attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534, NoSetGroups: true}}
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "e.sock")
	r := spawnAs(t, attr, map[string]string{"ECHOD_LISTEN": "unix://" + path, "ECHOD_LOG_FORMAT": "text"})
	mustFail(t, r, path, "permission denied", "choose", "a directory that is writable")
}
