//go:build linux

package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/bench/internal/process"
)

// The test binary is also the child process: these are its roles.
const (
	roleWait   = "child-wait"   // until a signal ends it
	roleIgnore = "child-ignore" // SIGTERM too
	roleFail   = "child-fail"   // at once, with a message
	roleCPUs   = "child-cpus"   // fails unless it sees one CPU and its environment
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 {
		child(os.Args[1], os.Args[2])
	}
	goleak.VerifyTestMain(m)
}

// child says that it is ready through the pipe named by the path.
func child(role, pipe string) {
	switch role {
	case roleIgnore:
		signal.Ignore(syscall.SIGTERM)
	case roleFail:
		fmt.Fprintln(os.Stderr, strings.Repeat("x", 10_000), "no more luck")
		os.Exit(3)
	case roleCPUs:
		if runtime.NumCPU() != 1 || os.Getenv("GOMAXPROCS") != "1" {
			fmt.Fprintln(os.Stderr, runtime.NumCPU(), os.Getenv("GOMAXPROCS"))
			os.Exit(1)
		}
		os.Exit(0)
	case roleWait:
	default:
		return // an ordinary run of the tests
	}
	if err := os.WriteFile(pipe, []byte("ready\n"), 0); err != nil {
		os.Exit(4)
	}
	_ = syscall.Pause()
}

// start runs the test binary in a role and returns once it is ready.
func start(ctx context.Context, t *testing.T, role string) *process.Process {
	t.Helper()
	pipe := t.TempDir() + "/ready"
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(ctx, []string{os.Args[0], role, pipe}, nil, process.AnyCPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	f, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(f).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return p
}

func gone(t *testing.T, p *process.Process) {
	t.Helper()
	select {
	case <-p.Exited():
	case <-time.After(10 * time.Second):
		t.Fatal("still there")
	}
	if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("not reaped: %v", err)
	}
}

func TestStop(t *testing.T) {
	for _, role := range []string{roleWait, roleIgnore} {
		t.Run(role, func(t *testing.T) {
			p := start(t.Context(), t, role)
			p.Stop()
			gone(t, p)
			p.Stop()
		})
	}
}

func TestContextEndsTheProcess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := start(ctx, t, roleIgnore)
	cancel()
	gone(t, p)
}

func TestFailureTellsWhy(t *testing.T) {
	p, err := process.Start(t.Context(), []string{os.Args[0], roleFail, "-"}, nil, process.AnyCPU)
	if err != nil {
		t.Fatal(err)
	}
	gone(t, p)
	text := p.Failure().Error()
	if !strings.Contains(text, "exit status 3") || !strings.Contains(text, "no more luck") || len(text) > 5000 {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

func TestChildIsBornOnItsCPU(t *testing.T) {
	before := runtime.NumCPU()
	p, err := process.Start(t.Context(), []string{os.Args[0], roleCPUs, "-"}, []string{"GOMAXPROCS=1"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	gone(t, p)
	if text := p.Failure().Error(); !strings.Contains(text, "exit status 0") {
		t.Error(text)
	}
	if runtime.NumCPU() != before {
		t.Errorf("own CPUs: %d, before %d", runtime.NumCPU(), before)
	}
}

func TestPinSelf(t *testing.T) {
	allowed := func() int {
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(0, &set); err != nil {
			t.Fatal(err)
		}
		return set.Count()
	}
	before := allowed()
	undo, err := process.PinSelf(0)
	if err != nil {
		t.Fatal(err)
	}
	if got := allowed(); got != 1 {
		t.Errorf("pinned, and %d CPUs are allowed", got)
	}
	if err := undo(); err != nil || allowed() != before {
		t.Errorf("%d CPUs are allowed, before %d: %v", allowed(), before, err)
	}
	if _, err := process.PinSelf(1023); err == nil {
		t.Error("pinned to a CPU that isn't there")
	}
}

func TestStartRefuses(t *testing.T) {
	if _, err := process.Start(t.Context(), []string{os.Args[0] + "-missing"}, nil, process.AnyCPU); err == nil {
		t.Error("started a program that isn't there")
	}
	if _, err := process.Start(t.Context(), []string{os.Args[0]}, nil, 1023); err == nil {
		t.Error("started on a CPU that isn't there")
	}
}

// The CPU clock of a process by its number is the one that it has of itself.
func TestCPUTimeIsTheProcessClock(t *testing.T) {
	self := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	from := self()
	got, err := process.CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const slack = 20 * time.Millisecond // rusage is scaled from ticks
	if to := self(); got < from-slack || got > to+slack {
		t.Errorf("got %v, want %v to %v", got, from, to)
	}
	p := start(t.Context(), t, roleWait)
	if used, err := process.CPUTime(p.PID()); err != nil || used <= 0 || used > 10*time.Second {
		t.Errorf("child: %v, %v", used, err)
	}
	p.Stop()
	if _, err := process.CPUTime(p.PID()); err == nil {
		t.Error("CPU time of a process that has gone")
	}
}

func TestReadMemory(t *testing.T) {
	m, err := process.ReadMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if m.Resident < 1<<20 || m.Peak < m.Resident {
		t.Errorf("%+v", m)
	}
}

func TestIdleTime(t *testing.T) {
	if idle, err := process.IdleTime(0); err != nil || idle < 0 {
		t.Errorf("%v, %v", idle, err)
	}
	if _, err := process.IdleTime(100_000); err == nil {
		t.Error("no error for a CPU that isn't there")
	}
}

func TestParseStat(t *testing.T) {
	const stat = "cpu  1 2 3 400 50 6 7 8 9 10\n" +
		"cpu0 1 2 3 100 20 6 7 8 9 10\n" +
		"cpu1 1 2 3 300 30 6 7 8 9 10\n" +
		"cpu2 1 2 3 bad 0 0\nintr 1 2 3 4 5\n"
	got, err := process.ParseStat(strings.NewReader(stat), 1)
	if err != nil || got != 3300*time.Millisecond {
		t.Errorf("got %v, %v", got, err)
	}
	for _, cpu := range []int{2, 3} {
		if _, err := process.ParseStat(strings.NewReader(stat), cpu); err == nil {
			t.Errorf("cpu%d: no error", cpu)
		}
	}
}

func TestParseStatus(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       process.Memory
		fails      bool
	}{
		{"live", "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t1\n",
			process.Memory{Resident: 1 << 20, Peak: 2 << 20}, false},
		{"zombie", "Name:\tx\nState:\tZ (zombie)\n", process.Memory{}, true},
		{"unit", "VmHWM:\t1 MB\nVmRSS:\t1 MB\n", process.Memory{}, true},
		{"number", "VmHWM:\tx kB\nVmRSS:\t1 kB\n", process.Memory{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := process.ParseStatus(strings.NewReader(tt.text))
			if (err != nil) != tt.fails || got != tt.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
