//go:build race

package main

// raceEnabled: the binary under test is built with the detector as well.
const raceEnabled = true
