//go:build !linux

package engine

// shortReadDrains: kqueue reads to EAGAIN.
const shortReadDrains = false
