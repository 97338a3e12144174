// Loadtest makes load on a connection server and measures it: package loadtest with flags,
// a live view, a summary and files.
//
//	loadtest run tcp://127.0.0.1:7007
//	loadtest merge a.json b.json
//	loadtest report a.json -o a.html
//	loadtest compare a.json b.json
//
// # Threads
//
// main's goroutine parses, runs and reports. The load is package loadtest's, which calls the
// view as intervals end. With --procs the load is in processes of its own (procs.go): they're
// this program with the same flags and --part, they write what they measure to standard output
// as JSON, and read when to begin and to stop from standard input, with which they end.
//
// # Ownership
//
// The result is the command's; files are replaced when it's complete.
//
// # Non-goals
//
// Nothing of the framework is in this process, and no server: what is measured is elsewhere.
//
// Reading order: main.go, flags.go, load.go, run.go, live.go, summary.go, format.go, files.go,
// procs.go, joint.go, merge.go, report.go, compare.go, metrics.go.
package main
