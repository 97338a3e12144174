//go:build !linux

package reactor_test

import "github.com/sluice-net/sluice/internal/reactor"

const peerEnd = reactor.Events(0)
