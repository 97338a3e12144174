//go:build linux

package process

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// AnyCPU stands for no pinning.
const AnyCPU = -1

// PinSelf moves all threads of this process to one CPU. Later threads inherit
// that from those that create them. undo moves them to where the caller's was before.
func PinSelf(cpu int) (undo func() error, err error) {
	if cpu == AnyCPU {
		return func() error { return nil }, nil
	}
	var old unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return nil, fmt.Errorf("read CPU affinity: %w", err)
	}
	if err := moveSelf(cpuSet(cpu)); err != nil {
		return nil, fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	return func() error { return moveSelf(old) }, nil
}

func moveSelf(set unix.CPUSet) error {
	done := map[int]bool{}
	// A thread may be created by one that isn't moved yet: look again until
	// nothing new is found.
	for {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		found := false
		for _, e := range entries {
			tid, err := strconv.Atoi(e.Name())
			if err != nil || done[tid] {
				continue
			}
			if err := unix.SchedSetaffinity(tid, &set); err != nil && err != unix.ESRCH {
				return err
			}
			done[tid], found = true, true
		}
		if !found {
			return nil
		}
	}
}

// onCPU runs f on a thread that is pinned for the time being, so that a child
// that f starts is born on that CPU: a Go server counts its CPUs at its start.
func onCPU(cpu int, f func() error) error {
	if cpu == AnyCPU {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return fmt.Errorf("read CPU affinity: %w", err)
	}
	set := cpuSet(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	err := f()
	if back := unix.SchedSetaffinity(0, &old); back != nil && err == nil {
		return fmt.Errorf("restore CPU affinity: %w", back)
	}
	return err
}

func cpuSet(cpu int) (set unix.CPUSet) {
	set.Set(cpu)
	return set
}
