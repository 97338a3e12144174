package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// The admin listener's limits. Its clients are probes: small requests, short answers.
const (
	adminRequestTimeout = 5 * time.Second
	adminAnswerTimeout  = 10 * time.Second
	adminIdleTimeout    = time.Minute
	adminHeaderBytes    = 16 << 10
	adminCloseTimeout   = time.Second
)

// admin is the HTTP listener for those who operate the daemon.
type admin struct {
	// Fixed by listenAdmin.
	listener net.Listener
	http     *http.Server
	log      *slog.Logger

	// Fixed by start; closed when serving has ended.
	served chan struct{}
}

// readiness is what admin asks a server.
type readiness interface{ Ready() bool }

// listenAdmin binds the address; start serves it.
func listenAdmin(address string, ready readiness, health *health, log *slog.Logger) (*admin, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // without the address, which comes first here
		}
		return nil, fmt.Errorf("--admin %s: %w: %s", address, err, adminRemedy(err))
	}
	routes := http.NewServeMux() // GET stands for HEAD too; other methods are 405
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		err := health.check(r.Context())
		answer(w, err == nil, "ok", fmt.Sprint(err))
	})
	routes.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, ready.Ready(), "ready", "draining")
	})
	return &admin{
		listener: l,
		log:      log,
		http: &http.Server{
			Handler:           routes,
			ReadHeaderTimeout: adminRequestTimeout,
			ReadTimeout:       adminRequestTimeout,
			WriteTimeout:      adminAnswerTimeout,
			IdleTimeout:       adminIdleTimeout,
			MaxHeaderBytes:    adminHeaderBytes,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}, nil
}

func adminRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "stop what listens there, choose another address, or switch it off with --admin="
	case errors.Is(err, syscall.EACCES):
		return "choose a port above 1023, or switch it off with --admin="
	default:
		return "choose an address of this machine, or switch it off with --admin="
	}
}

func answer(w http.ResponseWriter, good bool, yes, no string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	text := yes
	if !good {
		text = no
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = io.WriteString(w, text+"\n") // a probe that has gone wants no answer
}

func (a *admin) start() {
	a.served = make(chan struct{})
	go a.serve()
}

func (a *admin) serve() {
	defer close(a.served)
	if err := a.http.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		a.log.Error("the admin listener has failed", "error", err)
	}
}

// close lets the answers under way finish, and no more.
func (a *admin) close() {
	if a.served == nil {
		a.listener.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminCloseTimeout)
	defer cancel()
	if a.http.Shutdown(ctx) != nil {
		_ = a.http.Close()
	}
	<-a.served
}
