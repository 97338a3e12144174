package loadtest_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/loadtest"
)

func codecs(t *testing.T) []loadtest.Codec {
	t.Helper()
	script, err := loadtest.ReadScript(strings.NewReader(`
		send "{payload}{connection} {sequence}."
		expect "{payload}{connection} {sequence}."
	`), true)
	if err != nil {
		t.Fatal(err)
	}
	return []loadtest.Codec{
		loadtest.Echo{}, loadtest.Echo{Payload: loadtest.Text}, loadtest.Line{Payload: loadtest.Text},
		loadtest.LengthPrefixed{}, loadtest.LengthPrefixed{Bytes: 8}, loadtest.LengthPrefixed{Bytes: 2, LittleEndian: true}, script,
	}
}

// Of each codec's own request it knows where it ends, whatever comes behind it, and every
// wrong byte is found.
func TestCodecs(t *testing.T) {
	t.Parallel()
	for _, c := range codecs(t) {
		t.Run(fmt.Sprintf("%T %v", c, c), func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1, 7, 15, 16, 17, 22, 23, 64, 1000} {
				m := loadtest.Message{Connection: 0xabcd00000003, Sequence: 5, Size: size}
				b := c.AppendRequest(nil, m)
				for n := range b {
					if got, err := c.CheckReply(m, b[:n]); got != 0 || err != nil {
						t.Fatalf("of %d bytes of %d: %d, %v", n, len(b), got, err)
					}
				}
				if n, err := c.CheckReply(m, append(bytes.Clone(b), "more"...)); n != len(b) || err != nil {
					t.Fatalf("%d bytes: %d, %v", len(b), n, err)
				}
				for i := range b {
					b[i] ^= 1
					if _, err := c.CheckReply(m, append(bytes.Clone(b), "more"...)); err == nil {
						t.Fatalf("byte %d of %d is wrong, and it isn't seen", i, len(b))
					}
					b[i] ^= 1
				}
			}
		})
	}
}

// A payload tells whose it is.
func TestMismatch(t *testing.T) {
	t.Parallel()
	m := loadtest.Message{Connection: 1<<32 | 7, Sequence: 3, Size: 100}
	other := loadtest.Message{Connection: 1<<32 | 8, Sequence: 9, Size: 100}
	for _, p := range []loadtest.Payload{loadtest.Binary, loadtest.Text} {
		var e *loadtest.Mismatch
		if err := p.Check(m, p.Append(nil, other)); !errors.As(err, &e) || !e.Known || e.Other != other {
			t.Errorf("%v: %v", p, err)
		}
		b := p.Append(nil, m)
		b[99] ^= 1
		if err := p.Check(m, b); !errors.As(err, &e) || e.Known || e.Offset != 99 || e.Got != b[99] || e.Want != b[99]^1 {
			t.Errorf("%v: %v", p, err)
		}
		for _, c := range p.Append(nil, m) {
			if p == loadtest.Text && (c < '0' || c > 'o') {
				t.Errorf("%q isn't text", c)
			}
		}
	}
	if err := loadtest.Constant.Check(m, loadtest.Constant.Append(nil, other)); err != nil {
		t.Error(err)
	}
}
