package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sluice-net/sluice/secure"
	"github.com/sluice-net/sluice/server"
)

// config is the command line with the environment and the defaults below it. help.go
// says what its fields mean.
type config struct {
	Listen listeners `default:"tcp://127.0.0.1:7007,tls://127.0.0.1:7443"`
	Admin  address   `default:"127.0.0.1:7070"`
	Pprof  toggle    `default:"false"`

	TLSCert       files
	TLSKey        files
	TLSClientCA   file
	TLSMinVersion tlsVersion `default:"1.2"`
	ALPN          protocols

	Reactors       count    `default:"0"`
	MaxConnections count    `default:"0"`
	MaxPerAddress  count    `default:"0"`
	AcceptRate     count    `default:"0"`
	IdleTimeout    duration `default:"0"`
	DrainTimeout   duration `default:"10s"`

	LogLevel  level  `default:"info"`
	LogFormat format `default:"text"`

	CheckConfig question
	PrintConfig question
	Help        helpFlag `short:"h"`
	Version     versionFlag
}

// question is a switch that asks something of the configuration, which it's no part of.
type question bool

// listeners are those of --listen, with the limits that each of them has, and with TLS where
// it's wanted. All clients of a Unix-domain socket have one address, so there's no limit for
// each.
func (c config) listeners(x *secure.Context) []server.Listener {
	all := slices.Clone(c.Listen)
	for i := range all {
		all[i].AcceptRate = float64(c.AcceptRate)
		if all[i].Network != "unix" {
			all[i].MaxPerAddress = int(c.MaxPerAddress)
		}
		if isTLS(all[i]) {
			all[i].TLS = x
		}
	}
	return all
}

func isTLS(l server.Listener) bool { return l.Network == "tls" }

// errAnswered ends a run that was only asked something.
var errAnswered = errors.New("answered")

// parse reads the command line and, below it, the environment. --help, --version and
// --print-config answer and return errAnswered. Any other error is the user's to mend.
func parse(p process) (config, error) {
	var c config
	parser, err := newParser(&c, p)
	if err != nil {
		return c, err
	}
	if _, err := parser.Parse(p.args); err != nil {
		var bad *badValue
		if !errors.Is(err, errAnswered) && !errors.As(err, &bad) {
			// The parser's own words say what's wrong, and not what would be right.
			err = fmt.Errorf("%w (echod --help lists the flags)", err)
		}
		return c, err
	}
	if err := c.check(); err != nil {
		return c, err
	}
	if c.PrintConfig {
		printConfig(p.stdout, parser.Model.Flags)
		return c, errAnswered
	}
	return c, nil
}

// printConfig writes the configuration as an environment: what came of flags, variables
// and defaults.
func printConfig(w io.Writer, flags []*kong.Flag) {
	for _, f := range flags {
		if name := envName(f.Value); name != "" {
			_, _ = fmt.Fprintf(w, "%s=%v\n", name, f.Target.Interface())
		}
	}
}

func newParser(c *config, p process) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("echod"),
		kong.Writers(p.stdout, p.stderr),
		kong.NoDefaultHelp(),
		kong.Resolvers(environment(p.lookupEnv)),
	)
}

// check finds what can be told of the configuration only as a whole.
func (c config) check() error {
	seen := map[string]bool{}
	for _, l := range c.Listen {
		url := l.URL()
		if seen[url] {
			return fmt.Errorf("--listen: %s is there twice: remove one", url)
		}
		seen[url] = true
		if l.Network != "unix" && l.Address == string(c.Admin) && !strings.HasSuffix(l.Address, ":0") {
			return fmt.Errorf("--admin: %s is also in --listen: choose another address for one of them", c.Admin)
		}
	}
	return c.checkTLS()
}

// environment reads ECHOD_… for flags that aren't on the command line. The parser's own
// way reads the environment of this process and nothing else, which tests share.
func environment(lookup func(string) (string, bool)) kong.ResolverFunc {
	return func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		name := envName(flag.Value)
		if name == "" {
			return nil, nil
		}
		text, ok := lookup(name)
		if !ok {
			return nil, nil
		}
		// The parser will decode it once more; only here the error can tell where
		// the value is from.
		scratch := reflect.New(flag.Target.Type()).Elem()
		scan := kong.ScanAsType(kong.FlagValueToken, text)
		if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, scratch); err != nil {
			return nil, fmt.Errorf("%w (in $%s)", err, name)
		}
		return text, nil
	}
}

// envName is a flag's name in the environment; the questions have none.
func envName(v *kong.Value) string {
	if v.IsBool() && v.Target.Type() != reflect.TypeFor[toggle]() {
		return ""
	}
	return "ECHOD_" + strings.ToUpper(strings.ReplaceAll(v.Name, "-", "_"))
}

// badValue says what a flag's value should have been.
type badValue struct{ message string }

func (e *badValue) Error() string { return e.message }

// decode takes the next word of the command line, also one that begins with a hyphen:
// no value of ours does, and "-1" deserves a better answer than "unknown flag".
func decode(c *kong.DecodeContext, want string, set func(text string) bool) error {
	token := c.Scan.Pop()
	if token.IsEOL() {
		return &badValue{"there's no value: want " + want}
	}
	if text := token.String(); !set(text) {
		return &badValue{fmt.Sprintf("%q: want %s", text, want)}
	}
	return nil
}

// listeners are the addresses of --listen. Each use of the flag adds to them.
type listeners []server.Listener

// Decode implements kong.MapperValue.
func (l *listeners) Decode(c *kong.DecodeContext) error {
	var bad error
	err := decode(c, "a URL such as tcp://127.0.0.1:7007, tls://127.0.0.1:7443 or unix:///run/echod.sock", func(text string) bool {
		for url := range strings.SplitSeq(text, ",") {
			one, err := server.ParseListener(strings.TrimSpace(url))
			if err != nil {
				bad = &badValue{err.Error()}
				return true
			}
			*l = append(*l, one)
		}
		return true
	})
	return errors.Join(err, bad)
}

func (l listeners) String() string {
	urls := make([]string, len(l))
	for i, one := range l {
		urls[i] = one.URL()
	}
	return strings.Join(urls, ",")
}

// toggle is on or off.
type toggle bool

// Decode implements kong.MapperValue. Without a value it's on.
func (t *toggle) Decode(c *kong.DecodeContext) error {
	if c.Scan.Peek().Type != kong.FlagValueToken {
		*t = true
		return nil
	}
	return decode(c, "true or false", func(text string) bool {
		*t = text == "true"
		return text == "true" || text == "false"
	})
}

// IsBool implements kong.BoolMapperValue.
func (*toggle) IsBool() bool { return true }

// address is host:port, or empty.
type address string

// Decode implements kong.MapperValue.
func (a *address) Decode(c *kong.DecodeContext) error {
	return decode(c, "host:port such as 127.0.0.1:7070, or nothing (--admin=) for none", func(text string) bool {
		*a = address(text)
		if text == "" {
			return true
		}
		_, port, err := net.SplitHostPort(text)
		if err != nil {
			return false
		}
		_, err = strconv.ParseUint(port, 10, 16)
		return err == nil
	})
}

// count is a number of things.
type count int

// Decode implements kong.MapperValue.
func (n *count) Decode(c *kong.DecodeContext) error {
	return decode(c, "a whole number, 0 or more", func(text string) bool {
		number, err := strconv.ParseUint(text, 10, 31)
		*n = count(number)
		return err == nil
	})
}

// duration is a length of time.
type duration time.Duration

// Decode implements kong.MapperValue.
func (d *duration) Decode(c *kong.DecodeContext) error {
	return decode(c, "a time such as 500ms, 10s, 1m30s or 0", func(text string) bool {
		length, err := time.ParseDuration(text)
		*d = duration(length)
		return err == nil && length >= 0
	})
}

func (d duration) String() string { return time.Duration(d).String() }

// level is the least that is logged.
type level slog.Level

// Decode implements kong.MapperValue.
func (l *level) Decode(c *kong.DecodeContext) error {
	return decode(c, "debug, info, warn or error", func(text string) bool {
		levels := map[string]slog.Level{
			"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		}
		known, ok := levels[text]
		*l = level(known)
		return ok
	})
}

func (l level) String() string { return strings.ToLower(slog.Level(l).String()) }

// format is how the log is written.
type format string

const (
	formatText format = "text"
	formatJSON format = "json"
)

// Decode implements kong.MapperValue.
func (f *format) Decode(c *kong.DecodeContext) error {
	return decode(c, "text or json", func(text string) bool {
		*f = format(text)
		return *f == formatText || *f == formatJSON
	})
}
