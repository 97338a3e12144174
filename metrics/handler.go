package metrics

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options set up a Handler. The zero value has no servers, and is never ready.
type Options struct {
	Collector     *Collector    // the servers; more may be added later
	OmitRuntime   bool          // without go_* and process_*: the program has them elsewhere
	Profiles      bool          // serve /debug/pprof/ too; a profile costs whoever is served meanwhile
	HealthTimeout time.Duration // how long an event loop may take to answer /healthz; 0 or less: 1 s
	Logger        *slog.Logger  // nil: slog.Default()
}

// What scrapes may take. One takes less than a millisecond; Prometheus gives it 10 s.
const (
	scrapesAtATime = 4
	scrapeTimeout  = 5 * time.Second
)

// Handler serves, to GET and HEAD:
//
//   - /metrics: the Collector's figures, go_* and process_*, from a registry of its own.
//   - /healthz: 200 if all event loops turn; 503 names the one that doesn't. Whoever
//     watches over the process restarts it for that.
//   - /readyz: 200 if all servers are ready (server.Server.Ready); 503 from the first
//     moment of draining. Whoever routes to the process stops for that.
//   - /debug/pprof/, with Options.Profiles: what go tool pprof and go tool trace read.
//
// Everything is for those who operate the process: serve it on the loopback or on a
// network of their own.
func Handler(o Options) http.Handler {
	if o.Collector == nil {
		o.Collector = new(Collector)
	}
	if o.HealthTimeout <= 0 {
		o.HealthTimeout = defaultHealthTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	routes := http.NewServeMux() // GET stands for HEAD too; other methods are 405
	routes.Handle("GET /metrics", scrapes(o))
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, "ok", o.Collector.healthy(r.Context(), o.HealthTimeout))
	})
	routes.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, "ready", o.Collector.unready())
	})
	if o.Profiles {
		profiles(routes)
	}
	return routes
}

// scrapes serves /metrics.
func scrapes(o Options) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(o.Collector)
	if !o.OmitRuntime {
		registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelError),
		// A figure that can't be had mustn't cost the others; it's in the log and in
		// promhttp_metric_handler_errors_total.
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            registry,
		MaxRequestsInFlight: scrapesAtATime,
		Timeout:             scrapeTimeout,
	})
}

// unready says which servers aren't ready, and what to do; nil: all are.
func (c *Collector) unready() error {
	all := c.look()
	if allReady(all) {
		return nil
	}
	if len(all) == 0 {
		return errors.New("no server: the program hasn't added one to its metrics.Collector")
	}
	var lines []string
	for _, s := range all {
		if !s.ready {
			lines = append(lines, fmt.Sprintf(reproach(s), s.name))
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}

func reproach(s sight) string {
	switch s.stats.State {
	case stateNew:
		return "new: server %s hasn't been started; wait"
	case stateDraining:
		return "draining: server %s takes no new connections; use another instance"
	case stateStopped:
		return "stopped: server %s has ended; use another instance"
	}
	if s.loops.failed() {
		return "failed: server %s has lost an event loop; the log has the error; restart the process"
	}
	return "new: server %s was only just started; wait"
}

func answer(w http.ResponseWriter, good string, bad error) {
	text, status := good, http.StatusOK
	if bad != nil {
		text, status = bad.Error(), http.StatusServiceUnavailable
	}
	say(w, status, text)
}

// say answers with a text.
func say(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // a probe that has gone wants no answer
}
