//go:build race

package server_test

// raceEnabled: the race detector has several times the memory it watches.
const raceEnabled = true
