package sim

import "fmt"

// trace is what happened, one line each.
type trace struct {
	on    bool
	lines []string
}

// note adds a line. Without a trace it costs next to nothing, so that a world can run
// without one, and run again with one if it fails.
func (w *World) note(who, what, format string, args ...any) {
	if !w.trace.on {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace.lines = append(w.trace.lines,
		fmt.Sprintf("%6d %10v  %-10s %-10s %s", w.Steps, w.Now(), who, what, fmt.Sprintf(format, args...)))
}

// Note adds a line to the trace, on behalf of the caller, when it's his turn.
func (w *World) Note(what, format string, args ...any) {
	w.enter()
	w.call(what, format, args...)
}

// call adds a line about a call of the kernel, by the goroutine that makes it.
func (w *World) call(what, format string, args ...any) {
	if w.trace.on {
		w.note(w.self().name, what, format, args...)
	}
}
