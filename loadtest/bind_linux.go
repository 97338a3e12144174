package loadtest

import "syscall"

// ipBindAddressNoPort is IP_BIND_ADDRESS_NO_PORT, which package syscall doesn't have.
const ipBindAddressNoPort = 24

// lateBind has the system choose a port only when it knows the peer, so that each pair of
// addresses has all ports.
func lateBind(_, _ string, c syscall.RawConn) error {
	var failed error
	if err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, ipBindAddressNoPort, 1)
	}); err != nil {
		return err
	}
	return failed
}
