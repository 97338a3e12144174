package secure_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/sluice-net/sluice/secure"
)

// record is one of the handshake, of TLS 1.0's version as a ClientHello's is.
func record(body []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{22, 3, 1}, uint16(len(body))), body...)
}

// A large ClientHello reaches crypto/tls in two records, which hold the same message; whatever
// else comes first reaches it as it is.
func TestHalved(t *testing.T) {
	message := bytes.Repeat([]byte("message "), 1<<11)
	for _, n := range []int{512, 513, 1500, len(message)} {
		in := append(record(message[:n]), "what follows"...)
		out := secure.Halved(in)
		var whole []byte
		for range 2 {
			size := int(binary.BigEndian.Uint16(out[3:]))
			if size == 0 || size > n/2+1 || !bytes.Equal(out[:3], in[:3]) {
				t.Fatalf("%d bytes: a record of %d, % x", n, size, out[:5])
			}
			whole, out = append(whole, out[5:5+size]...), out[5+size:]
		}
		if !bytes.Equal(whole, message[:n]) || string(out) != "what follows" {
			t.Errorf("%d bytes: other bytes, or %q behind them", n, out)
		}
	}
	for name, in := range map[string][]byte{
		"nothing":           nil,
		"a header's part":   {22, 3, 1, 2},
		"a small one":       record(message[:511]),
		"not all of it":     record(message[:1500])[:1000],
		"no TLS":            bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 100),
		"too large for TLS": append(record(nil)[:3], append([]byte{0x40, 1}, make([]byte, 1<<14+1)...)...),
	} {
		if out := secure.Halved(in); !bytes.Equal(out, in) {
			t.Errorf("%s was changed", name)
		}
	}
}
