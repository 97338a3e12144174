package conn

import (
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/sys"
)

// Addr is an address: an IP address and port, or the path of a Unix-domain socket. It's
// a value that compares with ==, and a net.Addr.
type Addr = sys.Addr

// Credentials tell which process is at the other end of a Unix-domain socket.
type Credentials = sys.Credentials

// Flow bounds what a connection keeps, in bytes. 0 stands for the default, a negative
// number for no bound.
type Flow = engine.Flow

// Timeouts end connections that don't get on. 0 stands for the default, a negative
// duration for none.
type Timeouts = engine.Timeouts

// Timer is what Stream.AfterFunc and Mux.AfterFunc return, to be stopped or set anew from
// any goroutine.
type Timer = engine.Timer

// SocketOptions are options of a listening socket that its connections inherit.
type SocketOptions = sys.Options

// State is where a connection is in its life.
type State = engine.State

// The states of a stream. ReadClosed and WriteClosed are Open with one half closed.
const (
	Idle        = engine.Idle
	Connecting  = engine.Connecting
	Open        = engine.Open
	ReadClosed  = engine.ReadClosed
	WriteClosed = engine.WriteClosed
	Draining    = engine.Draining
	Closed      = engine.Closed
	Released    = engine.Released
)

// The session seam: what stands between the socket's bytes and the application's
// (TLS, say).
type (
	// SessionFactory makes a session for each connection of a listener.
	SessionFactory = engine.SessionFactory
	// Session turns received bytes into application bytes and back, without I/O of
	// its own.
	Session = engine.Session
	// SessionHost is what a session may use of its connection.
	SessionHost = engine.SessionHost
	// Role is a session's end of the connection.
	Role = engine.Role
)

// The roles.
const (
	Client = engine.Client
	Server = engine.Server
)

// LogCategories is a set of socket kinds whose connections' log can be switched off
// (the seeds' LOG_TCP and LOG_LDS).
type LogCategories = engine.Categories

// The categories.
const (
	LogTCP  LogCategories = 1 << engine.CategoryTCP
	LogUnix LogCategories = 1 << engine.CategoryUnix
	LogTLS  LogCategories = 1 << engine.CategoryTLS
)
