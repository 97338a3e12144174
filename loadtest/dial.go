package loadtest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/sluice-net/sluice/loadtest/result"
)

// A dialer makes connections to the targets. It measures how long that takes.
type dialer struct {
	load    Load
	local   *net.Dialer
	full    *tls.Config
	resumed *tls.Config
}

func newDialer(l Load) *dialer {
	d := &dialer{load: l, local: &net.Dialer{Timeout: l.Timeout, KeepAlive: -1}}
	if len(l.Sources) > 0 {
		d.local.Control = lateBind
	}
	base := l.TLS
	if base == nil {
		base = &tls.Config{}
	}
	d.full, d.resumed = base.Clone(), base.Clone()
	d.full.ClientSessionCache = nil
	d.resumed.ClientSessionCache = tls.NewLRUClientSessionCache(len(l.Targets))
	return d
}

// target is the nth connection's.
func (d *dialer) target(n int) Target { return d.load.Targets[n%len(d.load.Targets)] }

// dialed is a connection, with what it took.
type dialed struct {
	net.Conn
	connect   time.Duration
	handshake time.Duration // 0: without TLS
	resumed   bool
}

// connect makes the nth connection, without TLS.
func (d *dialer) connect(ctx context.Context, n int) (net.Conn, error) {
	t := d.target(n)
	local := *d.local
	if a := d.load.Sources.address(n); a != nil && t.Network == "tcp" {
		local.LocalAddr = a
	}
	return local.DialContext(ctx, t.Network, t.Address)
}

// dial makes the nth connection. A failure comes with its kind.
func (d *dialer) dial(ctx context.Context, n int, resume bool) (dialed, result.ErrorKind, error) {
	start := time.Now()
	c, err := d.connect(ctx, n)
	if err != nil {
		return dialed{}, connectKind(err), err
	}
	made := dialed{Conn: c, connect: time.Since(start)}
	t := d.target(n)
	if !t.TLS {
		return made, "", nil
	}
	config := d.full
	if resume {
		config = d.resumed
	}
	if config.ServerName == "" && !config.InsecureSkipVerify {
		config = config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(t.Address)
	}
	session := tls.Client(c, config)
	start = time.Now()
	if err := d.handshake(ctx, session); err != nil {
		c.Close()
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
			return dialed{}, result.HandshakeTimeout, err
		}
		return dialed{}, result.HandshakeFailed, err
	}
	made.Conn, made.handshake = session, max(time.Since(start), 1)
	made.resumed = session.ConnectionState().DidResume
	return made, "", nil
}

func (d *dialer) handshake(ctx context.Context, session *tls.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, d.load.Timeout)
	defer cancel()
	return session.HandshakeContext(ctx)
}

// connectKind is why a connection couldn't be made.
func connectKind(err error) result.ErrorKind {
	var timeout net.Error
	switch {
	case errors.Is(err, errDescriptors), errors.Is(err, errFiles):
		return result.NoDescriptors
	case errors.Is(err, errNoPort), errors.Is(err, errPortTaken):
		return result.NoPorts
	case errors.Is(err, errRefused), errors.Is(err, os.ErrNotExist):
		return result.ConnectRefused
	case errors.As(err, &timeout) && timeout.Timeout():
		return result.ConnectTimeout
	default:
		return result.ConnectFailed
	}
}

// ioKind is why a connection that was there has failed. Timeouts are told apart by
// whether one waited for a reply.
func ioKind(err error) result.ErrorKind {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return result.PeerClosed
	case errors.Is(err, errReset), errors.Is(err, errPipe):
		return result.PeerReset
	case errors.Is(err, os.ErrDeadlineExceeded) && errors.As(err, new(*writeFailed)):
		return result.WriteTimeout
	case errors.Is(err, os.ErrDeadlineExceeded):
		return result.ReplyTimeout
	default:
		return result.IOFailed
	}
}

// probe finds out, before any load, whether there's somebody at each target. The error is
// one line with what to do about it.
func (d *dialer) probe(ctx context.Context) error {
	for n, t := range d.load.Targets {
		c, kind, err := d.dial(ctx, n, false)
		if err == nil {
			c.Close()
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%v: %w: %s", t, plain(err), d.remedy(kind, err))
	}
	return nil
}

func (d *dialer) remedy(kind result.ErrorKind, err error) string {
	var unknown *net.DNSError
	var certificate *tls.CertificateVerificationError
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return "check the host's name"
	case errors.As(err, &name):
		return "give the name that it's for (--tls-sni), or don't verify it (--tls-insecure)"
	case errors.As(err, &authority):
		return "give its authority's certificate (--tls-ca), or don't verify it (--tls-insecure)"
	case errors.As(err, &certificate):
		return "give the server a valid one, check this machine's clock, or don't verify it (--tls-insecure)"
	case kind == result.ConnectRefused:
		return "nobody listens there; start the server, or check the address"
	case kind == result.ConnectTimeout:
		return "nobody answers there; check the address, and firewalls in between"
	case kind == result.NoPorts:
		return "give addresses of this machine as --source"
	case kind == result.NoDescriptors:
		return "allow more files with ulimit -n"
	case kind == result.HandshakeFailed, kind == result.HandshakeTimeout:
		return "check that the server speaks TLS there, and what it wants (--tls-cert, --tls-alpn)"
	default:
		return "check the address"
	}
}

// plain is an error without the addresses, which whoever reports it has said already.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}

// descriptorReserve is how many descriptors a process has beside its connections.
const descriptorReserve = 64

// ErrDescriptors is wrapped by [Run]'s error for a load with more connections than this
// process may have.
var ErrDescriptors = errors.New("too few descriptors")

// checkDescriptors finds out, before any load, whether there are enough.
func (d *dialer) checkDescriptors() error {
	limit := descriptorLimit()
	need := d.load.Connections + descriptorReserve
	for _, n := range d.load.Hostile {
		need += n
	}
	if limit == 0 || need <= limit {
		return nil
	}
	return fmt.Errorf("%w: %d connections need %d, and this process may have %d: use several processes (--procs %d), or ulimit -n %d",
		ErrDescriptors, d.load.Connections, need, limit, need/max(limit-descriptorReserve, 1)+1, need)
}

// describeEnds says between which addresses a connection is.
func describeEnds(c net.Conn) string {
	return ends(c.LocalAddr()) + " to " + ends(c.RemoteAddr())
}

func ends(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok {
		if p := t.AddrPort(); p.IsValid() {
			return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()).String()
		}
	}
	if a == nil || a.String() == "" {
		return "unnamed"
	}
	return a.String()
}
