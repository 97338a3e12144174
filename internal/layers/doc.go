// Package layers holds the table of which package may import which, as a test.
//
// Purpose: the framework is a stack, and a package may use only what lies below
// it. A dependency that points upward compiles until it closes a cycle, and by
// then it is expensive to undo; here it fails at once, and the failure says
// which rule was broken and why the rule is there. The same test keeps each
// third-party module inside the one package that wraps it.
//
// The package has no code outside its tests. Threading model and ownership:
// none, the tests only read source files.
//
// How to change it: a new package needs a row in table_test.go, with a reason. A
// new edge in the graph needs a change to a row, which is a design decision and
// belongs in the same commit as the code that wants it.
//
// Non-goals: calls that reach a package indirectly, the bench module (it has
// the peers in it and may import what it likes), and style, which the linter
// looks after.
//
// Reading order: table_test.go (the rules), check_test.go (how they are
// applied), source_test.go (where the imports come from), layers_test.go (the
// tests, among them those that prove the check can fail).
package layers
