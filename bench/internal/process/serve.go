//go:build linux

package process

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// FreeAddr asks the kernel for a port of 127.0.0.1 that is free now.
func FreeAddr() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	return addr, l.Close()
}

// Serve is Start for a server, by the command for an address; it returns once the server
// listens there.
func Serve(ctx context.Context, command func(addr string) []string, env []string, cpu int) (*Process, netip.AddrPort, error) {
	addr, err := FreeAddr()
	if err != nil {
		return nil, addr, err
	}
	p, err := Start(ctx, command(addr.String()), env, cpu)
	if err != nil {
		return nil, addr, err
	}
	for {
		c, err := net.DialTimeout("tcp", addr.String(), time.Second)
		if err == nil {
			_ = c.Close()
			return p, addr, nil
		}
		select {
		case <-p.Exited():
			return nil, addr, p.Failure()
		case <-ctx.Done():
			p.Stop()
			return nil, addr, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
