package layers_test

const module = "github.com/sluice-net/sluice"

// spine is the framework from the bottom up: each package may import those
// before it.
var spine = []string{
	"buffers",
	"internal/lock",
	"internal/sys",
	"internal/reactor",
	"internal/engine",
	"internal/socketfile",
	"conn",
	"secure",
	"server",
}

// upTo returns the spine from the bottom up to and including the named package.
func upTo(top string) []string {
	for i, p := range spine {
		if p == top {
			return spine[: i+1 : i+1]
		}
	}
	panic("layers: not in the spine: " + top)
}

// layer is what one package, or all below a folder, may import of this module.
// Test files are free to import any of our packages: a test may well drive a
// low layer through a high one.
type layer struct {
	pkg string   // from the module's root; "x/..." is x and everything below it
	may []string // nil: nothing of ours
	why string
}

// layers is ordered: a row names only packages of rows above it, so the table
// cannot describe a cycle.
var layers = []layer{
	{"buffers", nil,
		"memory is the bottom: buffers can be tested, fuzzed and reused without a socket in sight"},
	{"internal/lock", nil,
		"a mutex knows nothing but who waits for it"},
	{"internal/sys", upTo("buffers"),
		"system calls are mechanism: they fill and send blocks of memory and know neither loops nor connections"},
	{"internal/reactor", upTo("internal/sys"),
		"a loop dispatches to small handler interfaces: it must not know what a connection is, so that datagrams and other engines fit in"},
	{"internal/engine", upTo("internal/reactor"),
		"the connection has one consumer, which it knows by its interface only; conn and server are such consumers"},
	{"internal/socketfile", nil,
		"files of Unix-domain listeners are about paths; the two that listen are above"},
	{"conn", upTo("internal/socketfile"),
		"two method sets over one engine; TLS and the connection manager come to it through the Session and User seams"},
	{"secure", upTo("conn"),
		"TLS is a Session, bytes in and bytes out; it must work for a bare Socket, without a server"},
	{"server", upTo("secure"),
		"the connection manager is the top of the framework; what watches it or adapts it imports it, not the reverse"},

	{"framing", []string{"buffers", "conn"},
		"framing asks a connection for reads and is handed buffers; it works the same below a server or without one"},
	{"stdnet", upTo("server"),
		"an adapter to net.Conn sits on top of the framework: nothing in the framework may block as it does"},
	{"metrics", upTo("server"),
		"a collector reads Stats; the framework counts without knowing who asks, and without Prometheus in its dependencies"},

	{"loadtest/result", nil,
		"what a run leaves behind is data: reports and comparisons read it without a load generator"},
	{"loadtest", []string{"loadtest/result"},
		"a load generator on std net only: no bug can hide by being on both ends, and peers can be measured with it"},
	{"loadtest/report", []string{"loadtest/result"},
		"a report is drawn from what a run left behind, on any machine and at any time later"},
	{"loadtest/compare", []string{"loadtest/result"},
		"a comparison reads two results; how they came about isn't its business"},
	{"cmd/loadtest", []string{"loadtest/result", "loadtest", "loadtest/report", "loadtest/compare"},
		"the same as loadtest: nothing of the framework may be in the process that measures it"},
	{"cmd/echod", append(upTo("server"), "framing", "stdnet", "metrics"),
		"the daemon puts the framework together; the load generator stays out of the process it measures"},
	{"examples/...", []string{"buffers", "conn", "secure", "server", "framing", "stdnet", "metrics"},
		"an example shows what a user can write, and a user cannot import our internal packages"},

	{"internal/sim", upTo("internal/reactor"),
		"a simulated machine stands behind the seams of reactor and sys; what runs on it comes with the tests"},

	{"internal/mutants", nil,
		"it edits sources and runs tests; it has nothing to do with what they do"},

	{"internal/testenv", nil,
		"it looks at the machine and not at the framework, so that the tests of every package can ask it; only they may"},

	{"internal/layers", nil,
		"the referee doesn't play"},
}

// ban keeps a third-party module, with all packages below it, to a few of ours.
// Bans hold for test files too.
type ban struct {
	path string   // import path
	only []string // patterns as in layer.pkg
	test bool     // only in test files, of any package
	why  string
}

var bans = []ban{
	{path: "github.com/panjf2000/gnet", only: []string{"internal/reactor"},
		why: "only the poller is taken from it; one package turns its events into ours and bridges its logger, and one has to change if it is ever replaced"},
	{path: "github.com/valyala/bytebufferpool", only: []string{"buffers"},
		why: "every pooled block is counted and reference-counted by buffers; memory that goes round it would be in no budget"},
	{path: "github.com/prometheus/client_golang", only: []string{"metrics", "cmd/..."},
		why: "a user of the framework who has another metrics system must not have to carry this one"},
	{path: "github.com/alecthomas/kong", only: []string{"cmd/..."},
		why: "flags are a command's business; a package takes a Config"},
	{path: "github.com/lmittmann/tint", only: []string{"cmd/..."},
		why: "how a log looks on a terminal is a command's business; a package takes a *slog.Logger"},
	{path: "golang.org/x/term", only: []string{"cmd/..."},
		why: "what a terminal shows is a command's business"},
	{path: "golang.org/x/time", only: []string{"server"},
		why: "its bucket suits accepting, which asks and never waits; a load generator's schedule must not depend on who is late"},
	{path: "github.com/HdrHistogram/hdrhistogram-go", only: []string{"loadtest/result"},
		why: "all histograms have one range and one precision, or else they couldn't be merged without loss"},
	{path: "go.uber.org/goleak", test: true,
		why: "it stops the world to look at every goroutine's stack, which is for tests alone"},
}
