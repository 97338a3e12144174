// Package secure is TLS on the event loops, with the standard library's crypto/tls.
//
// A [Context] (the seeds' ISocketContext) has certificates, keys and rules, and may be
// shared by any number of listeners and connections. It makes a session for each, which
// stands between the socket's bytes and the application's: bytes in, bytes out, no I/O.
//
// # Who owns the tls.Conn, and when
//
//	   wire              session                     application
//	bytes ──▶ Open ──▶ transport ◀──Read── tls.Conn            (handshake: a goroutine's)
//	bytes ◀── reply ◀─ transport ◀─Write── tls.Conn
//	                    ── handover ──
//	bytes ──▶ Open ──▶ transport ◀──Read── tls.Conn ──▶ plaintext   (the loop's, under the
//	bytes ◀── Seal ◀── transport ◀─Write── tls.Conn ◀── output       connection's lock)
//
// During the handshake, whose public-key operations would hold the loop up, a goroutine has
// the tls.Conn, and the transport's own lock guards what passes between it and the loop.
// When the handshake has ended it's handed over: from then on the loop calls it, under the
// connection's lock, and the transport answers "would block" instead of waiting, which
// crypto/tls resumes from.
//
// A [Gate] bounds how many of those goroutines compute at the same time, so that a flood of
// handshakes leaves the loops their processors.
//
// # Threads
//
// A Context may be used and changed from any goroutine; connections keep what was set when
// they began. Its functions that the program supplies (verification, say) are called on the
// goroutines of handshakes, and may block.
//
// # Non-goals
//
// Renegotiation, TLS 1.1 and older, and cryptography of our own.
//
// Reading order: context.go, certificate.go, session.go, transport.go, gate.go, errors.go.
package secure
