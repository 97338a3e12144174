package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// The admin listener's limits. Its clients are probes and scrapes: small requests, short
// answers.
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

// listenAdmin binds the address; start serves what routes has.
func listenAdmin(address string, routes http.Handler, log *slog.Logger) (*admin, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // without the address, which comes first here
		}
		return nil, fmt.Errorf("--admin %s: %w: %s", address, err, adminRemedy(err))
	}
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

// drains serves POST /drain: it leaves a request in asked. A further one changes nothing,
// unlike a second signal: whoever isn't sure may ask again. A browser that another site's
// page has ask is refused.
func drains(asked chan<- struct{}, within time.Duration) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusAccepted)
		_, _ = fmt.Fprintf(w, "draining; connections have %v to end by themselves\n", within)
	}))
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
