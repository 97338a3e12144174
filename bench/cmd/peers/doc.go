// Command peers runs the defects that docs/peers.md lists over real sockets, against Sluice and
// the frameworks one would use instead, and prints who has which. It shows two things: that
// Sluice has none of them, and that the tests which say so can fail.
//
// Each server is a process of its own, this program again (peers serve SERVER ROLE NETWORK
// ADDRESS), for some of them die or spin. Who asks is package net and raw system calls.
// Everything is on loopback, and every row ends by itself.
//
// What a server has to do is a role: a few callbacks that each framework's file brings to its
// framework, in the way that its own examples would have it.
//
// Reading order: main.go, rows.go, run.go, table.go; then role.go and the frameworks, of which
// std.go is the shortest.
package main
