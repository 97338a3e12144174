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
// # Certificates
//
// A server has any number of them, in [Config] and by [Context.SetServerCertificate]. A client
// gets the one that has the name it asks for, exactly or as *.domain, whatever its case; one
// that asks for no name gets that of the address it has connected to; all others get the
// first of Config.Certificates, or the one that was set for "". Where several have the same
// name, it's the first whose key the client can use, so that a certificate of ECDSA and one
// of RSA may stand side by side. Names are compared as they stand in certificates: those of
// other scripts in their xn-- form. If there's no certificate at all, connections end with
// [ErrNoCertificate]; if there's none for a name, the client is told unrecognized_name.
//
// Keys that are protected by a password are refused: there's nobody to type it. A
// certificate that's out of date is used, and logged as a warning; [Context.NotAfter] is there
// to be watched.
//
// [Context.Reload] reads files again, and [Context.Watch] does when they change:
//
//	what it finds                              what connections get from then on
//	a certificate and its key                  these; sessions are resumed all the same
//	half a file, no file, another's key,       what was there before; the error names the file
//	no staple in the place of one
//	one out of date, in the place of a good    the same
//	authorities                                who they have signed for, also of sessions that are resumed
//	a revocation list                          it counts, also for sessions that are resumed
//	what was given or set in memory            that
//
// # Whom to trust
//
// Clients demand what [Verification] says, of resumed sessions, too. Servers demand what
// Config.ClientAuth says, by Config.ClientCAs and ClientCAFiles, and never by the system's roots: whoever has a
// certificate for a web site would be welcome. [Revocations] are lists in files; nobody is
// asked over the network.
//
// Sessions are resumed by tickets, for as long as their keys are there: see
// [Context.SetSessionTicketKeys]. A client that has changed its own certificate doesn't
// resume sessions in which it has shown the other.
//
// # Threads
//
// A Context may be used and changed from any goroutine; connections keep what was set when
// they began. What the program supplies (a Logger, a KeyLog, a key that signs elsewhere) is
// called with no lock of ours held: keys on the goroutines of handshakes, where they may block, and
// the KeyLog, one line at a time in the whole process, on goroutines of its own, for which the
// handshakes wait.
//
// # Non-goals
//
// Renegotiation, TLS 1.1 and older, asking for the state of certificates (OCSP; a staple is
// passed on), and cryptography of our own.
//
// Reading order: context.go, config.go, certificate.go, certificates.go, authorities.go, reload.go,
// verify.go, revocation.go, keylog.go; session.go, handshake.go, transport.go, gate.go, state.go, provider.go, errors.go.
package secure
