package main

import (
	"runtime"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"
)

const description = `Make load on a connection server (TCP, TLS, Unix-domain sockets), measure it, and verify every byte.

Exit codes: 0 all is well; 1 couldn't run, or the server sent wrong bytes or none; 2 wrong usage; 3 an objective of --slo was missed; 4 the client was saturated, so that the run says nothing about the server, or (compare) the runs can't be compared; 5 (compare) the second run is worse beyond --threshold.`

// commands is the command line.
type commands struct {
	Run   runCommand   `cmd:"" help:"Make load on a server, and measure it."`
	Merge mergeCommand `cmd:"" help:"Join the results of several hosts, without loss."`

	Report  reportCommand  `cmd:"" help:"Draw a result as one HTML file."`
	Compare compareCommand `cmd:"" help:"Tell what changed between two results, and how sure that is."`

	Version kong.VersionFlag `help:"Show the version."`
}

var groups = []kong.Group{
	{Key: "load", Title: "Load"},
	{Key: "protocol", Title: "Protocol"},
	{Key: "tls", Title: "TLS, for targets with tls://"},
	{Key: "hosts", Title: "More of the client"},
	{Key: "verdict", Title: "Verdict and files"},
}

// runCommand is loadtest run.
type runCommand struct {
	URL []string `arg:"" name:"url" help:"tcp://host:port, tls://host:port or unix:///path; of several, each has its share of the connections."`

	Connections int           `group:"load" short:"c" default:"10" help:"Connections at a time."`
	ConnectRate float64       `group:"load" help:"Open so many of them in a second, with load on those that are open. Without it all are open before there's any load." placeholder:"N"`
	InFlight    int           `group:"load" default:"1" help:"Messages of a connection that may wait for a reply at a time."`
	Rate        float64       `group:"load" short:"r" help:"An open loop: plan so many messages per second, however fast the replies are. Without it a message waits for a reply." placeholder:"N"`
	Arrival     string        `group:"load" enum:"constant,poisson" default:"constant" help:"How an open loop spaces messages: ${enum}."`
	Think       time.Duration `group:"load" help:"Wait between a reply and the next message." placeholder:"TIME"`
	Lifetime    time.Duration `group:"load" help:"Replace a connection at this age." placeholder:"TIME"`
	Churn       uint64        `group:"load" help:"Replace a connection after so many messages." placeholder:"N"`
	WarmUp      time.Duration `group:"load" help:"Make load for so long before it counts." placeholder:"TIME"`
	Duration    time.Duration `group:"load" short:"d" help:"Measure for so long; 10s, if there's no --messages." placeholder:"TIME"`
	Messages    uint64        `group:"load" short:"n" help:"End after so many messages, not counting those of the warm-up." placeholder:"N"`
	Timeout     time.Duration `group:"load" default:"5s" help:"Wait so long for a connection or a reply."`
	Hostile     string        `group:"load" help:"Clients that misbehave beside those that are measured: slowloris=50,neverread=20,halfclose=10,reset=10,stallhandshake=20." placeholder:"KIND=N,…"`
	Size        string        `group:"protocol" short:"s" default:"64" help:"Bytes of a message: 64, a range 64-1024, or several with weights 64:9,16384:1."`
	SizeFile    string        `group:"protocol" help:"The same from a file, one to a line." placeholder:"FILE"`
	Codec       string        `group:"protocol" enum:"echo,text,line,length1,length2,length4,length8,length2le,length4le,length8le" default:"echo" help:"What the server speaks: ${enum}. text is an echo of characters; length4 an echo of messages with a prefix of 4 bytes, le of the other byte order."`
	Script      string        `group:"protocol" help:"Requests and expected replies from a file: lines with send \"…\", and expect \"…\" or until \"…\"." placeholder:"FILE"`
	Verify      bool          `group:"protocol" default:"true" negatable:"" help:"Compare every byte of every reply."`

	TLSCA       string   `group:"tls" name:"tls-ca" help:"Trust the authorities in this file." placeholder:"FILE"`
	TLSCert     string   `group:"tls" name:"tls-cert" help:"The client's certificate, as PEM." placeholder:"FILE"`
	TLSKey      string   `group:"tls" name:"tls-key" help:"Its key; by default in the same file." placeholder:"FILE"`
	TLSSNI      string   `group:"tls" name:"tls-sni" help:"The server's name; by default the URL's host." placeholder:"NAME"`
	TLSALPN     []string `group:"tls" name:"tls-alpn" help:"Application protocols, the preferred first." placeholder:"NAME,…"`
	TLSInsecure bool     `group:"tls" name:"tls-insecure" help:"Trust any certificate."`
	TLSResume   float64  `group:"tls" name:"tls-resume" help:"The part of the connections that resume an earlier session, 0 to 1." placeholder:"PART"`

	Source  string `group:"hosts" help:"Local addresses to connect from, in turn: 127.0.0.0/8, or several with commas. Each has about 28,000 ports." placeholder:"ADDR,…"`
	Procs   int    `group:"hosts" default:"1" help:"Processes to share the load out to, at most one for each connection and message. Each has its own descriptors."`
	StartAt string `group:"hosts" help:"Begin at this time, on several hosts at once: 15:04:05, which may be tomorrow's, or 2006-01-02T15:04:05Z." placeholder:"TIME"`
	Seed    uint32 `group:"hosts" help:"Number of the run, in every message; random by default." placeholder:"N"`
	Part    string `hidden:"" help:"Be the nth of so many processes: 1/4."`

	SLO      []string      `group:"verdict" name:"slo" sep:"none" help:"Objectives: 'roundtrip p99<5ms, errors<0.01%'. Times are of connect, handshake, resumed, firstbyte, roundtrip, roundtrip-uncorrected; then there's rate." placeholder:"LIST"`
	MaxLag   time.Duration `group:"verdict" default:"10ms" help:"How late the client may be at p99 before it's called saturated; in a closed loop, if that's also more than half of the round trip's p99."`
	Interval time.Duration `group:"verdict" default:"1s" help:"Length of the pieces that are measured and shown."`
	JSON     string        `group:"verdict" name:"json" help:"Write all that was measured; - is standard output." placeholder:"FILE"`
	CSV      string        `group:"verdict" name:"csv" help:"Write a row for each interval." placeholder:"FILE"`
	HDR      string        `group:"verdict" name:"hdr" help:"Write an HdrHistogram interval log." placeholder:"FILE"`
	HTML     string        `group:"verdict" name:"html" help:"Write a report with charts, as one file for a browser." placeholder:"FILE"`
	Metrics  string        `group:"verdict" help:"Serve the client's figures to Prometheus at http://HOST:PORT/metrics meanwhile." placeholder:"HOST:PORT"`
	Quiet    bool          `group:"verdict" short:"q" help:"Show nothing while it runs."`
}

// version is this module's, with the Go version.
func version() string {
	v := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v = info.Main.Version
	}
	return "loadtest " + v + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
