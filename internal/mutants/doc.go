// Command mutants puts deliberate bugs into the framework, one at a time, and has the
// tests look for them: a suite that finds none of them proves nothing by passing.
//
//	go run ./internal/mutants [-run name] [-seeds n] [-traces folder]
//
// Each bug in list.go is an edit of one file, which the compiler gets to see through an
// overlay; the files themselves stay as they are. The simulated machine's seeds look
// first, then its stories, then the packages' own tests. The table tells who has found
// which; the command fails if a bug isn't found, doesn't compile, or no longer applies.
//
// Threading model and ownership: none; the mutants are tried one after the other, and a
// test that hangs is ended.
//
// How to change it: a bug that got past the tests becomes a mutant together with its mend.
// When an edit no longer applies, because the code has moved on, the list follows: a test of
// this package tells.
//
// Non-goals: mutants made by rule. These are bugs that somebody may well make.
//
// Reading order: list.go, main.go.
package main
