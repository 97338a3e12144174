package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/metrics"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// echo sends back what it receives.
type echo struct{ server.BaseCallback }

func (echo) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { c.Read() }
func (echo) OnReadCompleted(c *conn.Stream, b *buffers.Buffer)   { c.Write(b); c.Read() }

// callbacks are the echo, and a word when the drain begins.
type callbacks struct {
	echo
	draining func()
}

func (c callbacks) OnShutdownInitiated() { c.draining() }

// daemon is what runs between start and the end of serve.
type daemon struct {
	// Fixed by start.
	config config
	log    *slog.Logger
	tls    *secure.Context // nil: no listener has it
	mux    *conn.Mux
	server *server.Server
	admin  *admin        // nil: off
	asked  chan struct{} // holds a request to drain

	// serve's own until it calls Shutdown, fixed from there on.
	ending ending
}

// ending is why the daemon ends, and how many connections it had then.
type ending struct {
	reason string
	open   int
}

// start binds every address, or none, and serves.
func start(c config, log *slog.Logger) (*daemon, error) {
	d := &daemon{config: c, log: log, asked: make(chan struct{}, 1)}
	if err := d.start(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *daemon) start() (err error) {
	settings, err := d.serverConfig()
	if err != nil {
		return err
	}
	if d.mux, err = conn.NewMux(conn.MuxConfig{Loops: int(d.config.Reactors), Logger: d.log}); err != nil {
		return fmt.Errorf("--reactors %d: %w: choose fewer, or raise the limit of descriptors (ulimit -n)", d.config.Reactors, err)
	}
	settings.Mux = d.mux
	if d.server, err = server.New(settings); err != nil {
		return err
	}
	// The admin address is bound first and served last: nobody is accepted, and no
	// stale socket file removed, for a daemon that can't start.
	if d.config.Admin != "" {
		watched, err := metrics.NewCollector(d.server)
		if err != nil {
			return err
		}
		routes := http.NewServeMux()
		routes.Handle("/", metrics.Handler(metrics.Options{Collector: watched, Profiles: bool(d.config.Pprof), Logger: d.log}))
		routes.Handle("/drain", drains(d.asked, time.Duration(d.config.DrainTimeout)))
		if d.admin, err = listenAdmin(string(d.config.Admin), routes, d.log); err != nil {
			return err
		}
	}
	if err = d.server.Start(); err != nil {
		return err
	}
	if d.admin != nil {
		d.admin.start()
	}
	return nil
}

// serverConfig loads the certificates, too.
func (d *daemon) serverConfig() (c server.Config, err error) {
	if d.tls, err = d.config.tlsContext(d.log); err != nil {
		return c, err
	}
	return server.Config{
		Callback:       callbacks{draining: d.logDraining},
		Listeners:      d.config.listeners(d.tls),
		MaxConnections: int(d.config.MaxConnections),
		Timeouts:       conn.Timeouts{Idle: time.Duration(d.config.IdleTimeout)},
		Logger:         d.log,
	}, nil
}

// serve returns the exit code once ctx, a signal or POST /drain has ended the daemon.
func (d *daemon) serve(ctx context.Context, signals <-chan os.Signal) int {
	d.logAddresses()
	d.ending.reason = d.await(ctx, signals)
	begun := time.Now()
	for range d.server.Connections() {
		d.ending.open++
	}
	code := d.outcome(d.drain(signals), begun)
	if err := d.close(); err != nil {
		d.log.Error("couldn't end properly", "error", err)
		code = max(code, exitFailure)
	}
	return code
}

func (d *daemon) logAddresses() {
	addrs := d.server.Addrs()
	for _, l := range d.config.Listen {
		for _, bound := range addrs[l.URL()] {
			network := bound.Network()
			if isTLS(l) {
				network = l.Network
			}
			d.log.Info("listening", "address", network+"://"+bound.String(), "listener", l.URL())
		}
	}
	d.logCertificate()
	if d.admin != nil {
		d.log.Info("admin listening", "address", "http://"+d.admin.listener.Addr().String())
	}
	d.log.Info("ready", "version", version(debug.ReadBuildInfo()), "pid", os.Getpid())
}

// logDraining runs once the server isn't ready any more, so that who has read the line
// finds /readyz in agreement with it.
func (d *daemon) logDraining() {
	d.log.Info("draining", "reason", d.ending.reason, "connections", d.ending.open, "timeout", time.Duration(d.config.DrainTimeout))
}

// await returns why the daemon is to end.
func (d *daemon) await(ctx context.Context, signals <-chan os.Signal) string {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx).Error()
		case <-d.asked:
			return "POST /drain"
		case s := <-signals:
			if d.ends(s) {
				return nameOf(s)
			}
		}
	}
}

// ends reports whether a signal is one to end by. HUP isn't: it reloads.
func (d *daemon) ends(s os.Signal) bool {
	if s == unix.SIGHUP {
		d.reload(nameOf(s))
		return false
	}
	return true
}

// drain shuts the server down within the drain timeout, or until a second signal.
func (d *daemon) drain(signals <-chan os.Signal) error {
	ctx, abort := context.WithTimeout(context.Background(), time.Duration(d.config.DrainTimeout))
	defer abort()
	done := make(chan error, 1)
	go func() { done <- d.server.Shutdown(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			if d.ends(s) {
				d.log.Warn("ending at once", "reason", "a second "+nameOf(s))
				abort()
			}
		}
	}
}

// outcome logs how the drain went, and returns the exit code for it.
func (d *daemon) outcome(err error, begun time.Time) int {
	took := time.Since(begun).Round(time.Millisecond)
	var left *server.ShutdownError
	switch {
	case err == nil:
		d.log.Info("drained", "aborted", 0, "took", took)
		return exitClean
	case errors.As(err, &left) && left.Aborted > 0:
		d.log.Warn("drained", "aborted", left.Aborted, "took", took)
		return exitAborted
	default:
		d.log.Error("drained", "aborted", 0, "took", took, "error", err)
		return exitFailure
	}
}

// loopsGrace is how long the loops may take to end once nothing is left on them.
const loopsGrace = 2 * time.Second

// close ends what the server leaves: the admin, then the loops.
func (d *daemon) close() error {
	if d.admin != nil {
		d.admin.close()
	}
	if d.mux == nil {
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- d.mux.Terminate() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(loopsGrace):
		return errors.New("an event loop doesn't end; it's left behind")
	}
}
