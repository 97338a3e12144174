package secure

import (
	"errors"
	"fmt"

	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
)

// TLS makes sockets that speak TLS over those of another provider (the seeds'
// CreateTLSSocketProvider): SocketConfig.Sessions is their Context. A nil provider makes none,
// for programs that only upgrade.
func TLS(over conn.Provider) conn.Provider { return provider{over} }

type provider struct{ over conn.Provider }

var errNoContext = errors.New("secure: SocketConfig.Sessions isn't a *secure.Context: want one")

// NewSocket implements conn.Provider.
func (p provider) NewSocket(c conn.SocketConfig) (conn.Socket, error) {
	if x, is := c.Sessions.(*Context); !is || x == nil {
		return nil, errNoContext
	}
	over, is := p.over.(interface {
		NewSecureSocket(conn.SocketConfig) (conn.Socket, error)
	})
	if !is {
		return nil, fmt.Errorf("%w: TLS over %T: want conn.TCP() or conn.Local()", conn.ErrMode, p.over)
	}
	return over.NewSecureSocket(c)
}

// Upgrade makes a TLS socket of a connected one (the seeds' UpgradeToTLSSocket; STARTTLS), over
// TCP or Unix-domain. serverSide waits for the peer's handshake; otherwise we begin it, and ask
// for the name in serverName. c has the user of the new socket and, as Sessions, its Context;
// the rest is as it was.
//
// What was sent before goes out as it is, and its SocketSendResults are the old user's, as is
// the SocketRecvCanceled of each Recv that's pending; the new user has what follows, first of
// all SocketUpgradeToTLSComplete or SocketShutdown. The old socket's reference is the new one's:
// it's not to be released, nor used, any more. conn.ErrMode: the socket isn't connected, or has
// TLS already.
func Upgrade(s conn.Socket, c conn.SocketConfig, serverSide bool, serverName string) (conn.Socket, error) {
	x, is := c.Sessions.(*Context)
	if !is || x == nil {
		return nil, errNoContext
	}
	old, is := s.(interface {
		UpgradeTo(conn.SocketConfig, engine.Upgrade) (conn.Socket, error)
	})
	if !is {
		return nil, fmt.Errorf("%w: an upgrade of a %T", conn.ErrMode, s)
	}
	if err := x.checkName(roleOf(serverSide), serverName); err != nil {
		return nil, err
	}
	return old.UpgradeTo(c, engine.Upgrade{Sessions: x, Role: roleOf(serverSide), ServerName: serverName})
}

// UpgradeOptions says how a stream is upgraded.
type UpgradeOptions struct {
	ServerSide bool   // the peer begins the handshake
	ServerName string // otherwise: what the peer's certificate is for
	// Prefix is what was read already, and is the peer's handshake: bytes that came in the
	// same read as the request to upgrade. Only a protocol that allows for them has any; to
	// refuse them is safer. It's copied.
	Prefix []byte
}

// UpgradeStream has a server's open connection speak TLS from now on (STARTTLS). What was
// written before goes out as it is; what's written from now on waits for the handshake. Reads
// that are pending get OnReadCompletionError with conn.ErrCanceled, which isn't fatal. When the
// handshake is over, OnNegotiationComplete and OnSecureConnectionEstablished follow: ask for the
// next Read there, or now. If it fails, OnFatalError or OnRemoteFatalError, and the end.
// conn.ErrMode: it has TLS already, isn't open, or one of its halves is closed.
func UpgradeStream(c *conn.Stream, x *Context, o UpgradeOptions) error {
	if x == nil {
		return errNoContext
	}
	if err := x.checkName(roleOf(o.ServerSide), o.ServerName); err != nil {
		return err
	}
	return (*engine.Conn)(c).Upgrade(engine.Upgrade{
		Sessions: x, Role: roleOf(o.ServerSide), ServerName: o.ServerName, Prefix: o.Prefix,
	})
}

func roleOf(serverSide bool) conn.Role {
	if serverSide {
		return conn.Server
	}
	return conn.Client
}
