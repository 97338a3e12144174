package metrics

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"
)

// The lengths of recordings, in seconds.
const (
	profileSeconds = 30
	traceSeconds   = 1
	longestSeconds = 300
)

// profiles adds the profiles under the paths of net/http/pprof. That package isn't
// imported because doing so is enough to have it serve them on http.DefaultServeMux,
// wanted or not.
func profiles(routes *http.ServeMux) {
	routes.HandleFunc("GET /debug/pprof/{$}", listProfiles)
	routes.HandleFunc("GET /debug/pprof/{name}", snapshot)
	routes.HandleFunc("GET /debug/pprof/profile", func(w http.ResponseWriter, r *http.Request) {
		record(w, r, profileSeconds, pprof.StartCPUProfile, pprof.StopCPUProfile)
	})
	routes.HandleFunc("GET /debug/pprof/trace", func(w http.ResponseWriter, r *http.Request) {
		record(w, r, traceSeconds, trace.Start, trace.Stop)
	})
}

func listProfiles(w http.ResponseWriter, _ *http.Request) {
	var text strings.Builder
	fmt.Fprintf(&text, "profile?seconds=%d\ntrace?seconds=%d\n", profileSeconds, traceSeconds)
	for _, p := range pprof.Profiles() {
		fmt.Fprintf(&text, "%s?debug=1\n", p.Name())
	}
	say(w, http.StatusOK, strings.TrimSuffix(text.String(), "\n"))
}

// snapshot serves a profile that the runtime keeps; debug=1 and 2 are for people.
func snapshot(w http.ResponseWriter, r *http.Request) {
	p := pprof.Lookup(r.PathValue("name"))
	if p == nil {
		say(w, http.StatusNotFound, fmt.Sprintf("no profile %q: /debug/pprof/ lists them", r.PathValue("name")))
		return
	}
	debug, _ := strconv.Atoi(r.FormValue("debug"))
	if debug == 0 {
		w.Header().Set("Content-Type", "application/octet-stream")
	} else {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	_ = p.WriteTo(w, debug) // who has gone wants no profile
}

// record serves what happens during the next seconds, or until the client has gone.
func record(w http.ResponseWriter, r *http.Request, seconds int, start func(io.Writer) error, stop func()) {
	if text := r.FormValue("seconds"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > longestSeconds {
			say(w, http.StatusBadRequest, fmt.Sprintf("seconds=%s: want a whole number from 1 to %d", text, longestSeconds))
			return
		}
		seconds = n
	}
	length := time.Duration(seconds) * time.Second
	// The listener's time-out is for short answers. Not every ResponseWriter has one.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(length + scrapeTimeout))
	ctx, cancel := context.WithTimeout(r.Context(), length)
	defer cancel()
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(w); err != nil {
		say(w, http.StatusConflict, fmt.Sprintf("%v: wait until the other recording has ended", err))
		return
	}
	<-ctx.Done()
	stop()
}
