//go:build !linux

package loadtest

import "time"

// runqueueTime is Linux's; elsewhere being late tells.
func runqueueTime() time.Duration { return 0 }
