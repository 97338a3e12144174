//go:build linux

package process

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime returns the user and system time that all threads of a process have
// used, those that have ended included. It is the process's CPU clock: exact to
// the nanosecond also while a thread runs, unlike /proc/PID/stat (clock ticks)
// and /proc/PID/task/*/schedstat (brought up to date at ticks).
func CPUTime(pid int) (time.Duration, error) {
	// The clock id of another process, as clock_getcpuclockid(3) makes it: the
	// pid's complement above three bits, of which 2 means scheduler time.
	clock := int32(^pid)<<3 | 2
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// IdleTime returns how long a CPU has been idle since the system started, in
// steps of 10 ms. What was neither idle nor the server's was something else's.
func IdleTime(cpu int) (time.Duration, error) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	return parseStat(f, cpu)
}

// Memory is what a process has in RAM, in bytes. Memory of the kernel, such as
// socket buffers, isn't part of it.
type Memory struct {
	Resident uint64 // VmRSS
	Peak     uint64 // VmHWM
}

// ReadMemory reads the memory figures of a process.
func ReadMemory(pid int) (Memory, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	defer func() { _ = f.Close() }()
	return parseStatus(f)
}

// tick is the unit of /proc/stat: USER_HZ is 100 wherever Go runs.
const tick = 10 * time.Millisecond

// parseStat takes idle and iowait, the fourth and fifth figure of a CPU's line.
func parseStat(r io.Reader, cpu int) (time.Duration, error) {
	name := fmt.Sprintf("cpu%d", cpu)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[0] != name {
			continue
		}
		var ticks int64
		for _, field := range fields[4:6] {
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("stat: %s: %w", name, err)
			}
			ticks += n
		}
		return time.Duration(ticks) * tick, nil
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("stat: no line for %s", name)
}

func parseStatus(r io.Reader) (Memory, error) {
	var m Memory
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		var to *uint64
		switch key {
		case "VmRSS":
			to = &m.Resident
		case "VmHWM":
			to = &m.Peak
		default:
			continue
		}
		number, isKB := strings.CutSuffix(strings.TrimSpace(value), " kB")
		kb, err := strconv.ParseUint(number, 10, 64)
		if err != nil || !isKB {
			return Memory{}, fmt.Errorf("status: %s is %q, want a number of kB", key, value)
		}
		*to = kb << 10
	}
	if err := lines.Err(); err != nil {
		return Memory{}, err
	}
	if m.Resident == 0 || m.Peak == 0 {
		return Memory{}, fmt.Errorf("status: no VmRSS or no VmHWM: the process has ended")
	}
	return m, nil
}
