// Package testenv is about what tests need of the machine that they run on: programs,
// devices, addresses, a place for sockets.
//
// Purpose: a developer who lacks one can run the rest of the tests, and the build server,
// which sets SLUICE_CI=1, can't pass without having run all of them. That is decided here,
// and not in each test.
//
// Threading model and ownership: the functions may end the test, so they are called on its
// own goroutine, as t.FailNow is.
//
// How to change it: what a test needs of the machine gets a function when a second package
// looks for it; until then the test looks for itself and calls Missing.
//
// Non-goals: what an operating system hasn't got. Tests of that are in files with its
// suffix, and aren't there elsewhere.
//
// Reading order: testenv.go.
package testenv
