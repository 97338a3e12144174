//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-net/sluice/bench/internal/echo"
	"github.com/sluice-net/sluice/bench/internal/process"
	"github.com/sluice-net/sluice/bench/internal/stats"
)

// The test binary is also a server process, on the standard library: these are
// its first arguments.
const (
	roleEcho    = "serve-echo"
	roleCorrupt = "serve-corrupt" // after a while: bytes that nobody sent
	roleCrash   = "serve-crash"   // after a while
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && strings.HasPrefix(os.Args[1], "serve-") {
		l, err := net.Listen("tcp4", os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		serve(l, os.Args[1])
	}
	goleak.VerifyTestMain(m)
}

// serve echoes until the listener is closed and the peers have gone.
func serve(l net.Listener, role string) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer func() { _ = c.Close() }()
			if role != roleEcho {
				if _, err := io.CopyN(c, c, 1000); err != nil {
					return
				}
			}
			switch role {
			case roleCorrupt:
				_, _ = c.Write([]byte("nonsense"))
			case roleCrash:
				panic("that was too much")
			}
			_, _ = io.Copy(c, c)
		})
	}
}

func custom(t *testing.T, name, role string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s='%s' %s {addr}", name, self, role)
}

// anywhere leaves the test process and its servers on all CPUs.
func anywhere(args ...string) []string {
	return append([]string{"-server-cpu", "-1", "-client-cpu", "-1", "-dir", "../.."}, args...)
}

func TestCPUInProcess(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { serve(l, roleEcho) })
	defer wg.Wait()
	defer func() { _ = l.Close() }()
	addr := l.Addr().(*net.TCPAddr).AddrPort()

	for _, tt := range []struct {
		cpu  int
		load string
	}{
		{process.AnyCPU, "64x5"},
		{0, "100000x2"},
		{process.AnyCPU, "64x5/pipeline=16"},
		{process.AnyCPU, "64x50/active=5"},
		{process.AnyCPU, "connect:64x5"},
	} {
		load, err := parseShape(tt.load)
		if err != nil {
			t.Fatal(err)
		}
		e := cpuExperiment{cpu: tt.cpu, load: load, warmup: 10 * time.Millisecond, duration: 100 * time.Millisecond}
		t.Run(e.title(), func(t *testing.T) {
			s, err := e.measure(t.Context(), addr, os.Getpid())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range e.columns() {
				if _, ok := s.Facts[c.Key]; !ok {
					t.Errorf("no fact for column %s: %v", c.Key, s.Facts)
				}
			}
			if s.Value <= 0 || s.Facts["echoes"] < 1 || s.Facts["p50_us"] <= 0 || s.Facts["p999_us"] < s.Facts["p50_us"] {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestRunWritesTablesJSONMarkdownAndCharts(t *testing.T) {
	dir := t.TempDir()
	file, page := filepath.Join(dir, "out.json"), filepath.Join(dir, "page.md")
	if err := os.WriteFile(page, []byte("<!-- begin figures -->\n<!-- end figures -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := run(t.Context(), anywhere("-servers", "gnet,c", "-server", custom(t, "std", roleEcho), "-bases", "c,std,absent",
		"-shapes", "64x10,16Kx3,fanout:64x20,64x10/loops=2", "-reps", "2", "-warmup", "10ms", "-duration", "100ms", "-json", file,
		"-markdown", page), &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 4 || len(r.Results[0].Rows) != 3 || len(r.Results[0].Rows[2].Samples) != 2 {
		t.Errorf("%s", text)
	}
	one := stats.Summary{Median: 1, Min: 1, Max: 1}
	if c := r.Results[0].Rows[1]; c.Value.Ratios["c"] != one || c.Facts["p99_us"].Ratios["c"] != one {
		t.Errorf("c against itself: %+v", c)
	}
	// Who can't serve a shape takes no part in it.
	if rows := r.Results[2].Rows; len(rows) != 2 || rows[0].Server != "gnet" || rows[1].Server != "c" {
		t.Errorf("fan-out: %+v", rows)
	}
	if rows := r.Results[3].Rows; len(rows) != 1 || rows[0].Server != "gnet" {
		t.Errorf("two loops: %+v", rows)
	}

	// What was saved gives the same tables.
	if err := os.Mkdir(filepath.Join(dir, "images"), 0o700); err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	err = run(t.Context(), []string{"-from", file, "-svg", filepath.Join(dir, "images", "chart"), "-chart", "64x10,fanout:64x20",
		"-markdown", page}, &again, io.Discard)
	if err != nil || again.String() != out.String() {
		t.Errorf("%v\ngot:\n%s\nwant:\n%s", err, again.String(), out.String())
	}
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, wants := range map[string]struct {
		text  string
		wants []string
	}{
		"terminal": {out.String(), []string{"64 bytes on 10 connections", "16 KiB on 3", "gnet", "× c", "× std", "echoes/s", "p99.9 µs", "deliveries/s", "held it back"}},
		"page":     {read(page), []string{"<!-- begin figures -->\n", "| server |", `src="images/chart-light.svg"`, "64 bytes on 10 connections", "`SHAPES=fanout:64x20`"}},
		"light":    {read(filepath.Join(dir, "images", "chart-light.svg")), []string{"64 bytes on 10 connections", "C epoll", "</svg>"}},
		"dark":     {read(filepath.Join(dir, "images", "chart-dark.svg")), []string{"64 bytes on 10 connections", "C epoll", "</svg>"}},
	} {
		for _, want := range wants.wants {
			if !strings.Contains(wants.text, want) {
				t.Errorf("%s: no %q in:\n%s", name, want, wants.text)
			}
		}
	}
	if err := xml.Unmarshal([]byte(read(filepath.Join(dir, "images", "chart-light.svg"))), new(any)); err != nil {
		t.Errorf("the chart isn't XML: %v", err)
	}
}

func TestRunIdle(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), anywhere("-shapes", "idle:64x300", "-reps", "1", "-servers", "c",
		"-server", custom(t, "std", roleEcho)), &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "300 connections") || !strings.Contains(out.String(), "std") {
		t.Error(out.String())
	}
}

// More than the kernel buffers for a connection, in a single request: short
// writes and paused reads.
func TestServersEchoLargeMessages(t *testing.T) {
	err := run(t.Context(), anywhere("-servers", "gnet,c", "-shapes", "16Mx2", "-reps", "1", "-warmup", "0s",
		"-duration", "200ms"), io.Discard, io.Discard)
	if err != nil {
		t.Error(err)
	}
}

func TestRunFailsLoudly(t *testing.T) {
	short := []string{"-servers", "", "-shapes", "64x10", "-reps", "1", "-duration", "5s"}
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"corruption", append(short, "-server", custom(t, "bad", roleCorrupt)), "reply "},
		{"crash", append(short, "-server", custom(t, "bad", roleCrash)), "that was too much"},
		{"server that exits", append(short, "-server", "bad=false {addr}"), "exit status 1"},
		{"missing program", append(short, "-server", "bad=./missing {addr}"), "missing"},
		{"unknown server", []string{"-servers", "nginx"}, `no server "nginx"`},
		{"no server", []string{"-servers", ""}, "no server"},
		{"name twice", []string{"-servers", "c", "-server", "c=x {addr}"}, "twice"},
		{"saved report", []string{"-from", "missing.json"}, "missing.json"},
		{"repetitions", []string{"-reps", "0"}, "-reps"},
		{"duration", []string{"-duration", "0s"}, "-duration"},
		{"shape", []string{"-shapes", "idle:1x1"}, "-shapes"},
		{"stray argument", []string{"idle"}, "idle"},
		{"folder", []string{"-servers", "c", "-dir", "missing"}, "build c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := run(t.Context(), anywhere(tt.args...), io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

// One that fails takes nobody along, and is named in the table.
func TestOthersGoOnWithoutOneThatFails(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), anywhere("-servers", "", "-server", custom(t, "bad", roleCrash), "-server", custom(t, "good", roleEcho),
		"-bases", "bad,good", "-shapes", "64x10", "-reps", "2", "-warmup", "0s", "-duration", "100ms"), &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "bad, repetition 1") {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"\ngood ", "! failed: bad, repetition 1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

// Ctrl-C in the middle: run returns, which it does only once its server has been
// reaped.
func TestRunStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := writerFunc(func(p []byte) (int, error) { // the first repetition is over
		cancel()
		return len(p), nil
	})
	err := run(ctx, anywhere("-servers", "", "-server", custom(t, "std", roleEcho), "-shapes", "64x10",
		"-reps", "1000", "-warmup", "0s", "-duration", "50ms"), io.Discard, begun)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// cancelling stands for Ctrl-C while a server is under measurement.
type cancelling struct {
	cpuExperiment
	cancel context.CancelFunc
	pid    int
}

func (e *cancelling) measure(ctx context.Context, addr netip.AddrPort, pid int) (sample, error) {
	e.pid = pid
	client, err := echo.Dial(ctx, addr, 1, 64)
	if err != nil {
		return sample{}, err
	}
	defer client.Close()
	return sample{}, client.Run(ctx, func(p echo.Progress) bool {
		e.cancel()
		return true
	})
}

func TestCancelledMeasurementReapsItsServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var list customServers
	if err := list.Set(custom(t, "std", roleEcho)); err != nil {
		t.Fatal(err)
	}
	e := &cancelling{cancel: cancel}
	e.load.Loops = 1
	_, err := measureOne(ctx, e, server{name: "std", echo: list[0].Args}, options{ServerCPU: process.AnyCPU, ClientCPU: process.AnyCPU})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", e.pid)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("server is still there: %v", err)
	}
}

func TestWindow(t *testing.T) {
	var w window
	for i, step := range []struct {
		at    time.Duration
		size  uint64
		still bool
	}{
		{0, 1 << 20, false},
		{settleWindow - 1, 1<<20 + settleSlack, false},
		{settleWindow, 1<<20 + settleSlack, true},
		{settleWindow + 1, 1<<20 - 1, false}, // too far from the largest
		{2*settleWindow + 1, 1 << 20, true},
	} {
		if got := w.still(step.at, step.size); got != step.still {
			t.Errorf("step %d: got %v", i, got)
		}
	}
}

func TestSettleEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := settle(ctx, func() (uint64, error) { return 1, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
