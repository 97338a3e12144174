package loadtest

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// runqueueTime is for how long this process's threads have been ready to run, and waited for
// a processor: the second number of each one's schedstat. It's 0 if the kernel doesn't tell.
func runqueueTime() time.Duration {
	const tasks = "/proc/self/task/"
	threads, err := os.ReadDir(tasks)
	if err != nil {
		return 0
	}
	var sum time.Duration
	for _, thread := range threads {
		b, err := os.ReadFile(tasks + thread.Name() + "/schedstat")
		if err != nil {
			continue // it has ended
		}
		if words := bytes.Fields(b); len(words) > 1 {
			waited, _ := strconv.ParseInt(string(words[1]), 10, 64)
			sum += time.Duration(waited)
		}
	}
	return sum
}
