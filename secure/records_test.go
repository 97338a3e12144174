package secure_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// forger is a client that crypto/tls shakes hands for, and whose records are made here: those
// that crypto/tls doesn't make.
type forger struct {
	raw    *net.TCPConn
	hello  []byte    // the first record
	tls    *tls.Conn // reads what the server says; it never writes
	secret []byte    // client_application_traffic_secret_N (RFC 8446, 7.1)
	aead   cipher.AEAD
	nonce  []byte
	seq    uint64
}

// noting keeps the first write.
type noting struct {
	net.Conn
	first *[]byte
}

func (c noting) Write(p []byte) (int, error) {
	if *c.first == nil {
		*c.first = append([]byte(nil), p...)
	}
	return c.Conn.Write(p)
}

// The content types of records.
const (
	alertRecord       = 21
	handshakeRecord   = 22
	applicationRecord = 23
)

func newForger(t testing.TB, at string, trust *tls.Config) *forger {
	t.Helper()
	raw, err := net.Dial("tcp", at)
	must(t, err)
	t.Cleanup(func() { raw.Close() })
	must(t, raw.SetDeadline(time.Now().Add(failSafe)))
	f := &forger{raw: raw.(*net.TCPConn)}
	var secrets book
	config := trust.Clone()
	config.MinVersion, config.KeyLogWriter = tls.VersionTLS13, &secrets
	f.tls = tls.Client(noting{raw, &f.hello}, config)
	must(t, f.tls.Handshake())
	if suite := f.tls.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Fatalf("the suite is %s: what's made here is AES-128-GCM", tls.CipherSuiteName(suite))
	}
	for line := range strings.Lines(secrets.String()) {
		if word := strings.Fields(line); word[0] == "CLIENT_TRAFFIC_SECRET_0" {
			f.secret, err = hex.DecodeString(word[2])
			must(t, err)
		}
	}
	f.rekey()
	return f
}

// expand is HKDF-Expand-Label (RFC 8446, 7.1) without a context.
func (f *forger) expand(label string, n int) []byte {
	label = "tls13 " + label
	info := append(binary.BigEndian.AppendUint16(nil, uint16(n)), byte(len(label)))
	p, err := hkdf.Expand(sha256.New, f.secret, string(append(append(info, label...), 0)), n)
	if err != nil {
		panic(err)
	}
	return p
}

// rekey makes key and nonce of the secret (RFC 8446, 7.3).
func (f *forger) rekey() {
	block, err := aes.NewCipher(f.expand("key", 16))
	if err != nil {
		panic(err)
	}
	if f.aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	f.nonce, f.seq = f.expand("iv", 12), 0
}

// seal makes a record (RFC 8446, 5.2 and 5.3).
func (f *forger) seal(kind byte, content string) []byte {
	nonce := append([]byte(nil), f.nonce...)
	for i, b := range binary.BigEndian.AppendUint64(nil, f.seq) {
		nonce[4+i] ^= b
	}
	f.seq++
	header := binary.BigEndian.AppendUint16([]byte{applicationRecord, 3, 3}, uint16(len(content)+1+f.aead.Overhead()))
	return f.aead.Seal(header, nonce, append([]byte(content), kind), header)
}

// keyUpdate makes a KeyUpdate, and goes on with the next key (RFC 8446, 4.6.3 and 7.2).
func (f *forger) keyUpdate(requested byte) []byte {
	record := f.seal(handshakeRecord, "\x18\x00\x00\x01"+string(requested))
	f.secret = f.expand("traffic upd", sha256.Size)
	f.rekey()
	return record
}

func (f *forger) send(t testing.TB, p []byte) {
	t.Helper()
	_, err := f.raw.Write(p)
	must(t, err)
}

// echoed sends data, and waits for them.
func (f *forger) echoed(t testing.TB, what string) {
	t.Helper()
	f.send(t, f.seal(applicationRecord, what))
	f.hear(t, what)
}

func (f *forger) hear(t testing.TB, what string) {
	t.Helper()
	p := make([]byte, len(what))
	if _, err := io.ReadFull(f.tls, p); err != nil || string(p) != what {
		t.Fatalf("%q, %v, want %q", p, err, what)
	}
}

// witness is an echo that keeps what its connections' ends were told to be.
type witness struct {
	echo
	fatal chan error
	ended chan conn.Reason
}

func newWitness() *witness {
	return &witness{fatal: make(chan error, 100), ended: make(chan conn.Reason, 100)}
}

func (w *witness) OnFatalError(_ *conn.Stream, err error)            { w.fatal <- err }
func (w *witness) OnConnectionClosure(_ *conn.Stream, r conn.Reason) { w.ended <- r }

// faults.md, TLS: endless empty records, KeyUpdate storm, oversize record, renegotiation, and
// others that a client may make when the handshake is over: as many of the useless ones pass as
// crypto/tls lets pass, one more ends the connection by an alert; what's wrong ends it at once.
// Nobody else notices.
func TestForgedRecords(t *testing.T) {
	const passing = 16 // crypto/tls: in a row, without data
	var (
		unexpected = []string{"unexpected message", ""}
		useless    = []string{"unexpected message", "too many"}
		overflow   = []string{"record overflow", ""}
		undecoded  = []string{"error decoding message", ""}
		forged     = []string{"bad record MAC", ""}
	)
	tests := map[string]struct {
		passing int
		record  func(f *forger) []byte
		want    []string // the alert, and what OnFatalError is told
	}{
		"empty records":         {passing, func(f *forger) []byte { return f.seal(applicationRecord, "") }, useless},
		"KeyUpdates":            {passing, func(f *forger) []byte { return f.keyUpdate(0) }, useless},
		"KeyUpdates, asked for": {passing, func(f *forger) []byte { return f.keyUpdate(1) }, useless},
		"warnings":              {passing, func(f *forger) []byte { return f.seal(alertRecord, "\x01\x5a") }, useless}, // user_canceled
		"ChangeCipherSpecs":     {passing, func(*forger) []byte { return []byte("\x14\x03\x03\x00\x01\x01") }, useless},
		"two KeyUpdates in a record": {0, func(f *forger) []byte {
			return f.seal(handshakeRecord, strings.Repeat("\x18\x00\x00\x01\x00", 2))
		}, unexpected},
		"a KeyUpdate of another kind": {0, func(f *forger) []byte { return f.seal(handshakeRecord, "\x18\x00\x00\x01\x02") }, undecoded},
		"an empty handshake record":   {0, func(f *forger) []byte { return f.seal(handshakeRecord, "") }, unexpected},
		"renegotiation":               {0, func(f *forger) []byte { return f.seal(handshakeRecord, string(f.hello[recordHeader:])) }, unexpected},
		"a record of no known type":   {0, func(f *forger) []byte { return f.seal(99, "x") }, unexpected},
		"an oversize record":          {0, func(*forger) []byte { return []byte("\x17\x03\x03\x41\x01") }, overflow},
		"oversize plaintext":          {0, func(f *forger) []byte { return f.seal(applicationRecord, strings.Repeat("x", 1<<14+1)) }, overflow},
		"a record in the clear":       {0, func(*forger) []byte { return []byte("\x17\x03\x03\x00\x20" + strings.Repeat("x", 32)) }, forged},
		"one that's done twice": {0, func(f *forger) []byte {
			record := f.seal(applicationRecord, "")
			return append(record, record...)
		}, forged},
	}
	ca := authority(t, "records")
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()}})
	w := newWitness()
	at := serve(t, w, x)[0]
	bystander := newForger(t, at, trusting(ca, "a.test"))
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newForger(t, at, trusting(ca, "a.test"))
			f.echoed(t, strings.Repeat("the largest record: ", 1000)[:1<<14])
			for range tt.passing {
				f.send(t, tt.record(f))
			}
			f.echoed(t, "data, which all of them are forgotten for")
			var storm []byte // at a time: it goes on behind what ends the connection
			for range tt.passing + 100 {
				storm = append(storm, tt.record(f)...)
			}
			_, _ = f.raw.Write(storm)
			var alert *net.OpError
			if _, err := f.tls.Read(make([]byte, 1)); !errors.As(err, &alert) || alert.Op != "remote error" || !strings.Contains(err.Error(), tt.want[0]) {
				t.Errorf("it's told %v, want the alert %q", err, tt.want[0])
			}
			must(t, f.raw.Close())
			var ours *secure.Error
			if err := <-w.fatal; !errors.As(err, &ours) || ours.Remote || ours.Handshake || !strings.Contains(err.Error(), tt.want[1]) {
				t.Errorf("OnFatalError is told %v, want %q", err, tt.want[1])
			}
			if r := <-w.ended; r != conn.ReasonSession {
				t.Errorf("it ends with %v", r)
			}
			bystander.echoed(t, "still here")
		})
	}
}

// hearer only reads, and tells of what was said.
type hearer struct {
	*witness
	heard chan struct{}
}

func (h hearer) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	if string(b.Bytes()) == said {
		h.heard <- struct{}{}
	}
	_ = c.Read()
}

// faults.md, TLS: KeyUpdate storm: what's answered to a peer that never reads is bounded. It's
// not listened to any more when that's much, and the time-out for output ends it. Others are
// heard meanwhile.
func TestKeyUpdateStorm(t *testing.T) {
	const most = 192 << 10 // of memory: a flush, and what a piece of input is answered by
	ca := authority(t, "storm")
	x := newContext(t, secure.Config{Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()}})
	w, memory := hearer{newWitness(), make(chan struct{}, 1)}, buffers.New(buffers.Config{})
	srv, err := server.New(server.Config{
		Callback: w, Logger: discard, Allocator: memory, Timeouts: conn.Timeouts{Write: 500 * time.Millisecond},
		Listeners: []server.Listener{{
			Name: "l", Network: "tls", Address: "127.0.0.1:0", TLS: x,
			Options: conn.SocketOptions{SendBuffer: 4 << 10, ReceiveBuffer: 4 << 10},
		}},
	})
	must(t, err)
	must(t, srv.Start())
	at := srv.Addrs()["l"][0].String()
	f, bystander := newForger(t, at, trusting(ca, "a.test")), newForger(t, at, trusting(ca, "a.test"))
	must(t, f.raw.SetReadBuffer(4<<10))
	taken, peak := 0, int64(0)
	for err == nil && taken < 64<<20 {
		var storm []byte
		for range 100 {
			for range 15 {
				storm = append(storm, f.keyUpdate(1)...)
			}
			storm = append(storm, f.seal(applicationRecord, "x")...)
		}
		var n int
		n, err = f.raw.Write(storm)
		taken, peak = taken+n, max(peak, memory.Stats().InUse)
		bystander.send(t, bystander.seal(applicationRecord, said))
		<-w.heard
	}
	if r := <-w.ended; r != conn.ReasonWriteTimeout || peak > most {
		t.Errorf("the end is %v, after %d bytes; at most %d bytes of memory were in use, want %d", r, taken, peak, most)
	}
	must(t, bystander.raw.Close())
	must(t, srv.Shutdown(t.Context()))
}

// waiter doesn't read before it's told to, and stops after the first, to tell how much memory is
// in use.
type waiter struct {
	server.BaseCallback
	memory *buffers.Allocator
	there  chan *conn.Stream
	inUse  chan int64
	heard  int
}

func (w *waiter) OnConnectionEstablished(c *conn.Stream, _ conn.Addr) { w.there <- c.AddRef() }
func (w *waiter) OnReadCompleted(c *conn.Stream, b *buffers.Buffer) {
	first := w.heard == 0
	switch w.heard += b.Len(); {
	case first:
		_ = c.Post(func(c *conn.Stream) {
			_ = c.Post(func(c *conn.Stream) { // in the next dispatch: each publishes its figures at its end
				w.inUse <- w.memory.Stats().InUse
				_ = c.Read()
			})
		})
	case w.heard < 1000:
		_ = c.Read()
	default:
		_ = c.Shutdown()
	}
}

// faults.md, TLS: 1-byte records: what they hold isn't mostly air, however many come at once.
func TestManyRecordsAtOnce(t *testing.T) {
	ca := authority(t, "many")
	w := &waiter{memory: buffers.New(buffers.Config{}), there: make(chan *conn.Stream, 1), inUse: make(chan int64, 1)}
	srv, err := server.New(server.Config{
		Callback: w, Logger: discard, Allocator: w.memory,
		Listeners: []server.Listener{{
			Name: "l", Network: "tls", Address: "127.0.0.1:0",
			TLS: newContext(t, secure.Config{Certificates: []secure.Certificate{ca.leaf(t, "ECDSA", "a.test").certificate()}}),
		}},
	})
	must(t, err)
	must(t, srv.Start())
	f := newForger(t, srv.Addrs()["l"][0].String(), trusting(ca, "a.test"))
	c := <-w.there
	var records []byte
	for range 1000 {
		records = append(records, f.seal(applicationRecord, "x")...)
	}
	f.send(t, records)
	must(t, c.Read())
	if n := <-w.inUse; n > 128<<10 {
		t.Errorf("%d bytes of memory for 1000 of data", n)
	}
	c.Release()
	if _, err := io.Copy(io.Discard, f.raw); err != nil {
		t.Error(err)
	}
	must(t, f.raw.Close())
	must(t, srv.Shutdown(t.Context()))
	if w.heard != 1000 {
		t.Errorf("%d bytes were heard", w.heard)
	}
}
