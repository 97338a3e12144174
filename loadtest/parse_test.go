package loadtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/loadtest"
)

// What is written is read as it was meant, and what isn't meant is refused with what to
// write instead.
func TestParse(t *testing.T) {
	t.Parallel()
	target := func(s string) (any, error) {
		v, err := loadtest.ParseTarget(s)
		return fmt.Sprintf("%+v", v.Address), err
	}
	sizes := func(s string) (any, error) { v, err := loadtest.ParseSizes(s); return v, err }
	file := func(s string) (any, error) { v, err := loadtest.ReadSizes(strings.NewReader(s)); return v, err }
	sources := func(s string) (any, error) { v, err := loadtest.ParseSources(s); return v, err }
	hostile := func(s string) (any, error) { v, err := loadtest.ParseHostile(s); return v, err }
	script := func(s string) (any, error) {
		v, err := loadtest.ReadScript(strings.NewReader(s), true)
		if err != nil {
			return nil, err
		}
		return v, nil
	}
	tests := []struct {
		parse      func(string) (any, error)
		text, want string // want is in the error if it begins with !
	}{
		{target, "tcp://127.0.0.1:7007", "127.0.0.1:7007"},
		{target, "tls://[::1]:7443/", "[::1]:7443"},
		{target, "unix:///run/e.sock", "/run/e.sock"},
		{target, "unix://@name", "@name"},
		{target, "127.0.0.1:7007", "!isn't a URL"},
		{target, "http://127.0.0.1:7007", "!http is unknown"},
		{target, "tcp://127.0.0.1", "!no port"},
		{target, "tcp://127.0.0.1:x", "!more than an address"},
		{target, "tcp://127.0.0.1:1/path", "!more than an address"},
		{target, "unix://", "!no path"},

		{sizes, "64", "64"},
		{sizes, "64-1024", "64-1024"},
		{sizes, "64:9, 1024-2048:1", "64:9, 1024-2048:1"},
		{sizes, "", "!want a size"},
		{sizes, "0", "!want a size"},
		{sizes, "9-8", "!want a size"},
		{sizes, "64:0", "!want a size"},
		{sizes, "1000000000", "!at most"},
		{file, "64:9 # most\n\n1024\n", "2 alternatives from a file (6dadc505)"},
		{file, "# none\n", "!no size"},
		{file, "x\n", "!want a size"},

		{sources, "127.0.0.1", "[127.0.0.1/32]"},
		{sources, "127.0.0.9/8,::1", "[127.0.0.0/8 ::1/128]"},
		{sources, "localhost", "!want addresses"},

		{hostile, "slowloris=50, reset=1", "map[reset:1 slowloris:50]"},
		{hostile, "slowloris", "!want a list"},
		{hostile, "rude=1", "!want a list"},

		{script, "send \"a\"\nexpect \"b\"\n# more\nsend \"c\"\nuntil \"\\n\"\n", "script of 2 (b4697179)"},
		{script, "", "!empty"},
		{script, "send \"a\"\n", "!no expect"},
		{script, "expect \"a\"\n", "!line 1: "},
		{script, "send \"a\"\nsend \"b\"\n", "!line 2: "},
		{script, "send a\n", "!in quotes"},
		{script, "say \"a\"\n", "!line 1: "},
	}
	for _, tt := range tests {
		got, err := tt.parse(tt.text)
		if want, bad := strings.CutPrefix(tt.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want an error with %q", tt.text, err, want)
			}
		} else if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: %v, %v; want %s", tt.text, got, err, want)
		}
	}
}
