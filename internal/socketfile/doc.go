// Package socketfile looks after the files of Unix-domain listeners: a stale one is
// removed before a listener binds, and a listener's own when it ends.
//
// Threading model and ownership: functions without state. A File belongs to its listener,
// which removes it once.
//
// Non-goals: locks. Two processes that start at the same moment may both find a stale file;
// the second bind decides between them.
package socketfile
